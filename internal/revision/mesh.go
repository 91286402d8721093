// SPDX-License-Identifier: Apache-2.0

package revision

import (
	"encoding/json"
	"fmt"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

// meshValues is the mesh's configuration as the chart takes it.
func meshValues(m *v1alpha1.MeshConfig) (map[string]any, error) {
	mesh := map[string]any{}
	// What is said in the same words is taken over as it is.
	for _, same := range []any{m.MeshIngress, m.MeshClients} {
		text, err := json.Marshal(same)
		if err != nil {
			return nil, fmt.Errorf("encode spec.meshConfig: %w", err)
		}
		if err := json.Unmarshal(text, &mesh); err != nil {
			return nil, fmt.Errorf("decode spec.meshConfig: %w", err)
		}
	}
	setString(mesh, "trustDomain", m.TrustDomain)
	if m.OutboundTrafficPolicy != nil && m.OutboundTrafficPolicy.Mode != "" {
		mesh["outboundTrafficPolicy"] = map[string]any{"mode": string(m.OutboundTrafficPolicy.Mode)}
	}
	if m.AccessLogFile != nil {
		mesh["accessLogFile"] = *m.AccessLogFile
	}
	if d := m.DefaultConfig; d != nil {
		mesh["defaultConfig"] = defaultConfig(d)
	}
	setString(mesh, "discoveryScope", string(m.DiscoveryScope))
	setString(mesh, "protocolDetectionTimeout", m.ProtocolDetectionTimeout)
	return mesh, nil
}

func defaultConfig(d *v1alpha1.ProxyDefaults) map[string]any {
	out := map[string]any{}
	if d.Concurrency != nil {
		out["concurrency"] = int64(*d.Concurrency)
	}
	setString(out, "drainDuration", d.DrainDuration)
	if len(d.ProxyMetadata) > 0 {
		out["proxyMetadata"] = stringMap(d.ProxyMetadata)
	}
	return out
}
