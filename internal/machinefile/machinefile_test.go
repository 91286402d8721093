// SPDX-License-Identifier: Apache-2.0

package machinefile

import (
	"strings"
	"testing"

	"github.com/meshwright/meshwright/internal/agent/machine"
)

var mesh = Mesh{
	DiscoveryAddress: "meshwright.istio-system.svc:15012", TrustDomain: "cluster.local", ClusterID: "Kubernetes", ClusterDomain: "cluster.local",
}

const group = `
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: details, namespace: shop}
spec:
  metadata: {labels: {app: details}}
  template: {serviceAccount: details, network: vms}
  probe: PROBE
`

// TestAgentReadsWhatIsWritten: each kind of probe passes the agent's own check.
func TestAgentReadsWhatIsWritten(t *testing.T) {
	for probe, want := range map[string]string{
		"{httpGet: {port: 80, scheme: HTTPS, httpHeaders: [{name: a, value: b}]}}": "scheme: HTTPS",
		"{tcpSocket: {port: 80}, failureThreshold: 7}":                             "failureThreshold: 7",
		"{grpc: {port: 80, service: x}}":                                           "service: x",
		"{exec: {command: [/bin/true]}, timeoutSeconds: 4}":                        "timeoutSeconds: 4",
	} {
		text, err := Make([]byte(strings.Replace(group, "PROBE", probe, 1)), mesh)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), want) {
			t.Errorf("%s: no %q in\n%s", probe, want, text)
		}
		f, err := machine.Parse(text)
		if err != nil || f.Group != "details" || f.ServiceAccount != "details" || f.Network != "vms" || f.Labels["app"] != "details" || f.Probe == nil {
			t.Errorf("%s: %+v %v", probe, f, err)
		}
	}
}

func TestWhatIsNoGroup(t *testing.T) {
	for text, want := range map[string]string{
		"kind: Service": "not a WorkloadGroup",
		strings.Replace(group, "PROBE", "{httpGet: {port: 0}}", 1): "spec.probe.httpGet.port",
		"[": "read the WorkloadGroup",
	} {
		if out, err := Make([]byte(text), mesh); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %q %v", text, out, err)
		}
	}
}
