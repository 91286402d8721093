// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"reflect"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshwright/meshwright/internal/ir"
)

func TestMesh(t *testing.T) {
	plain := MeshDefaults{Near: &ir.Nearness{}}
	for _, c := range []struct {
		name, text, budget string
		want               MeshDefaults
		problem            string
	}{
		{"nothing", "{}", "", plain, ""},
		{
			"all", `{"defaultHttpRetryPolicy": {"attempts": 1, "retryOn": "503", "backoff": "250ms"}, "connectTimeout": "5s",
				"tcpKeepalive": {"probes": 3, "time": "60s"}, "h2UpgradePolicy": "UPGRADE", "localityLbSetting": {"enabled": false},
				"defaultServiceExportTo": ["."], "defaultVirtualServiceExportTo": ["*"], "defaultDestinationRuleExportTo": [".", "a"]}`,
			`{"percent": 5}`,
			MeshDefaults{
				Near: &ir.Nearness{Off: true},
				Clients: ir.ClientDefaults{
					Retry:       &ir.Retry{Attempts: 1, On: retriableStatusCodes, StatusCodes: []uint32{503}, Backoff: 250 * time.Millisecond},
					RetryBudget: &ir.RetryBudget{Percent: 5, MinConcurrency: 3}, ConnectTimeout: 5 * time.Second,
					Keepalive: &ir.Keepalive{Probes: 3, Time: time.Minute}, Upgrade: true,
				},
				Exports: Exports{Services: []string{"."}, Routes: []string{"*"}, Policies: []string{".", "a"}},
			},
			"",
		},
		{"no retries", `{"defaultHttpRetryPolicy": {}}`, "", MeshDefaults{Near: &ir.Nearness{}, Clients: ir.ClientDefaults{Retry: &ir.Retry{}}}, ""},
		{"a retry condition", `{"defaultHttpRetryPolicy": {"attempts": 1, "retryOn": "often"}}`, "", plain, "defaultHttpRetryPolicy.retryOn"},
		{"a time for each attempt", `{"defaultHttpRetryPolicy": {"attempts": 1, "perTryTimeout": "1s"}}`, "", plain, "defaultHttpRetryPolicy.perTryTimeout"},
		{"a timeout", `{"connectTimeout": "2h"}`, "", plain, "connectTimeout"},
		{"a keepalive", `{"tcpKeepalive": {"time": "1ms"}}`, "", plain, "tcpKeepalive.time"},
		{
			"zones",
			`{"zoneAwareLbSetting": {"enabled": true, "minClusterSize": 2}}`, "",
			MeshDefaults{Near: &ir.Nearness{}, ByZones: &ir.Nearness{Zones: &ir.Zones{Least: 2}}},
			"",
		},
		{"no zones", `{"zoneAwareLbSetting": {"enabled": false}}`, "", plain, ""},
		{"a zone", `{"zoneAwareLbSetting": {"failoverPriority": ["topology.kubernetes.io/zone"]}}`, "", plain, "zoneAwareLbSetting.failoverPriority[0]"},
		{"a place", `{"localityLbSetting": {"failover": [{"from": "a", "to": "a"}]}}`, "", plain, "localityLbSetting.failover[0]"},
		{"a namespace", `{"defaultServiceExportTo": ["a b"]}`, "", plain, "defaultServiceExportTo[0]"},
		{"a budget", "{}", `{"percent": 101}`, plain, "defaultRetryBudget.percent"},
		{"no JSON", "[", "", plain, "decode"},
	} {
		got, err := Mesh([]byte(c.text), []byte(c.budget))
		if c.problem == "" && (err != nil || !reflect.DeepEqual(got, c.want)) {
			t.Errorf("%s: got %+v, %v", c.name, got, err)
		}
		if c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)) {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
}

func TestExportsOfTheMesh(t *testing.T) {
	s := Scope{Domain: "cluster.local", Exports: &Exports{Services: []string{"."}, Routes: []string{"~"}, Policies: []string{"b"}}}
	meta := &metav1.ObjectMeta{Namespace: "a", Name: "x"}
	own := ir.Visibility{Namespaces: []string{"a"}}
	if got := s.Service(&corev1.Service{ObjectMeta: *meta}).ExportTo; got == nil || !reflect.DeepEqual(*got, own) {
		t.Errorf("a Service is exported to %v", got)
	}
	said := meta.DeepCopy()
	said.Annotations = map[string]string{annotationExportTo: "*"}
	if got := s.Service(&corev1.Service{ObjectMeta: *said}).ExportTo; got != nil {
		t.Errorf("a Service that says it is exported to %v", got)
	}
	if got, _, _ := s.ServiceEntry(meta, []byte(`{"hosts": ["a.example.com"], "ports": [{"number": 80, "name": "http"}]}`)); !reflect.DeepEqual(got.ExportTo, own) {
		t.Errorf("a ServiceEntry is exported to %v", got.ExportTo)
	}
	if got, _, _ := s.VirtualService(meta, []byte(`{"hosts": ["a"], "http": [{"route": [{"destination": {"host": "a"}}]}]}`)); !reflect.DeepEqual(got.ExportTo, ir.Visibility{}) {
		t.Errorf("a VirtualService is exported to %v", got.ExportTo)
	}
	if got, _, _ := s.DestinationRule(meta, []byte(`{"host": "a"}`)); !reflect.DeepEqual(got.ExportTo, ir.Visibility{Namespaces: []string{"b"}}) {
		t.Errorf("a DestinationRule is exported to %v", got.ExportTo)
	}
}
