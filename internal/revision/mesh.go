// SPDX-License-Identifier: Apache-2.0

package revision

import (
	"encoding/json"
	"fmt"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

// meshValues is the mesh's configuration as the chart takes it: in the same words.
func meshValues(m *v1alpha1.MeshConfig) (map[string]any, error) {
	text, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode spec.meshConfig: %w", err)
	}
	mesh := map[string]any{}
	if err := json.Unmarshal(text, &mesh); err != nil {
		return nil, fmt.Errorf("decode spec.meshConfig: %w", err)
	}
	return mesh, nil
}
