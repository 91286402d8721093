// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"testing"
)

const streamSubsets = `
  host: %s
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]`

// Of 500 connections 80 % go to v1 within 7 points, which is four times as far off
// as a fair split usually is. Rules may go by the port and by the client.
func testBytes(t *testing.T) {
	given(t, service("bytes", "app: echo", "tcp-greet:9091", "tcp-other:9092:9091", "tcp-own:9093:9091"), object("DestinationRule", "bytes", fmt.Sprintf(streamSubsets, "bytes")),
		object("VirtualService", "bytes", `
  hosts: [bytes]
  tcp:
    - match: [{port: 9091}]
      route:
        - {destination: {host: bytes, port: {number: 9091}, subset: v1}, weight: 80}
        - {destination: {host: bytes, port: {number: 9091}, subset: v2}, weight: 20}
    - {match: [{port: 9093, sourceLabels: {app: client}}], route: [{destination: {host: bytes, port: {number: 9093}, subset: v1}}]}
    - route: [{destination: {host: bytes, port: {number: 9092}, subset: v2}}]`))
	r := asked(t, "greeted://bytes:9091", "--count=500", "--concurrency=8")
	must(t, answered(r))
	if got := r.Share("v1"); got < 73 || got > 87 {
		t.Errorf("v1 got %.1f %% of the connections, want 80", got)
	}
	for port, version := range map[string]string{"9092": "v2", "9093": "v1"} {
		must(t, only(version)(asked(t, "greeted://bytes:"+port, "--count=20")))
	}
	r, err := cluster.Call(t.Context(), appSpace, "app=asker", "echo", "greeted://bytes:9093", "--count=20")
	must(t, err)
	if err := only("v2")(r); err != nil {
		t.Errorf("from another client: %v", err)
	}
}

// Two server names on one address and port reach two servers, which end the TLS
// themselves.
func testServerNames(t *testing.T) {
	entry := func(name, host, server string) string {
		return object("ServiceEntry", name, fmt.Sprintf(`
  hosts: [%s]
  ports: [{number: 443, name: tls, protocol: TLS, targetPort: 8443}]
  location: MESH_EXTERNAL
  resolution: DNS
  endpoints: [{address: %s.e2e-plain.svc.cluster.local}]`, host, server))
	}
	given(t, entry("names-a", outsideA, "outside-a"), entry("names-b", outsideB, "outside-b"),
		object("VirtualService", "names", fmt.Sprintf(`
  hosts: [moved.e2e.example, %[1]s]
  tls:
    - {match: [{port: 443, sniHosts: [%[1]s]}], route: [{destination: {host: %[1]s}}]}`, outsideB)))
	for host, server := range map[string]string{outsideA: "outside-a", outsideB: "outside-b"} {
		e := echoed(t, "https://192.0.2.80/", "--insecure", "--host="+host)
		if e.Version != server || e.ServerName != host {
			t.Errorf("%s: %s ended the TLS for %q, want %s", host, e.Version, e.ServerName, server)
		}
	}
}
