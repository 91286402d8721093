// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"net/netip"
	"strings"
	"testing"
)

const good = `
discoveryAddress: meshwright.istio-system.svc:15012
trustDomain: cluster.local
clusterID: Kubernetes
clusterDomain: cluster.local
group: details
namespace: shop
serviceAccount: details
labels: {app: details}
probe: {httpGet: {port: 9080, path: /health}, periodSeconds: 2}
`

func TestFile(t *testing.T) {
	f, err := Parse([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	message, err := f.Pod(netip.MustParseAddr("192.0.2.1"), "v1").Message()
	if err != nil {
		t.Fatal(err)
	}
	fields := message.Metadata.Fields
	if message.Id != "sidecar~192.0.2.1~details-192.0.2.1.shop~shop.svc.cluster.local" ||
		fields["AUTO_REGISTER_GROUP"].GetStringValue() != "details" || fields["WORKLOAD_PROBED"].GetStringValue() != "true" {
		t.Errorf("node %v", message)
	}
	for edit, want := range map[string]string{
		"group: details|":                "group is not set",
		"svc:15012|svc":                  "is not HOST:PORT",
		"labels:|label:":                 `unknown field "label"`,
		"port: 9080, path|port: 0, path": "port 0",
		"httpGet: {port: 9080, path: /health}|exec: {command: []}": "must name a program",
		"periodSeconds|tcpSocket: {port: 1}, periodSeconds":        "has 2 of httpGet",
	} {
		from, to, _ := strings.Cut(edit, "|")
		if _, err := Parse([]byte(strings.Replace(good, from, to, 1))); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", edit, err)
		}
	}
}
