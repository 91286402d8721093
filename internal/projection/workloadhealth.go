// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"encoding/json"

	"github.com/meshwright/meshwright/internal/ir"
)

// conditionHealthy says whether the workload of a WorkloadEntry is healthy.
const conditionHealthy = "Healthy"

// HealthPart is the part of a WorkloadEntry's status that WorkloadHealth reads.
func HealthPart(status []byte) []byte {
	var in struct {
		Conditions []struct {
			Type   string          `json:"type"`
			Status json.RawMessage `json:"status"`
		} `json:"conditions"`
	}
	if len(status) == 0 || json.Unmarshal(status, &in) != nil {
		return nil
	}
	for _, c := range in.Conditions {
		if c.Type == conditionHealthy {
			return c.Status
		}
	}
	return nil
}

// WorkloadHealth reads the status of a WorkloadEntry; nil when it says nothing of
// health.
func WorkloadHealth(status []byte) *ir.WorkloadHealth {
	part := HealthPart(status)
	if part == nil {
		return nil
	}
	return &ir.WorkloadHealth{Healthy: string(part) == `"True"`}
}
