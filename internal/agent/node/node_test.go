// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func pod() Pod {
	return Pod{
		Role: Sidecar, Name: "reviews-1", Namespace: "shop", IPs: []netip.Addr{netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("fd00::3")},
		ServiceAccount: "reviews", NodeName: "n1", ClusterID: "Kubernetes", ClusterDomain: "cluster.local", Network: "net1",
		WorkloadName: "reviews", ProxyVersion: "v1", Labels: map[string]string{"app": "reviews"},
	}
}

func TestMessage(t *testing.T) {
	message, err := pod().Message()
	if err != nil {
		t.Fatal(err)
	}
	if want := "sidecar~10.1.2.3~reviews-1.shop~shop.svc.cluster.local"; message.GetId() != want {
		t.Errorf("id %q, want %q", message.GetId(), want)
	}
	if want := "reviews.shop"; message.GetCluster() != want {
		t.Errorf("cluster %q, want %q", message.GetCluster(), want)
	}
	want := map[string]any{
		"NAMESPACE": "shop", "LABELS": map[string]any{"app": "reviews"}, "CLUSTER_ID": "Kubernetes", "SERVICE_ACCOUNT": "reviews",
		"NETWORK": "net1", "WORKLOAD_NAME": "reviews", "NODE_NAME": "n1", "INSTANCE_IPS": "10.1.2.3,fd00::3", "PROXY_VERSION": "v1",
	}
	if diff := cmp.Diff(want, message.GetMetadata().AsMap()); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
	if got, want := pod().Identity("td"), "spiffe://td/ns/shop/sa/reviews"; got != want {
		t.Errorf("identity %q, want %q", got, want)
	}
}

func TestValidate(t *testing.T) {
	if err := pod().Validate(); err != nil {
		t.Errorf("complete pod: %v", err)
	}
	for what, spoil := range map[string]func(*Pod){
		"POD_NAME is not set":        func(p *Pod) { p.Name = "" },
		"POD_NAMESPACE is not set":   func(p *Pod) { p.Namespace = "" },
		"SERVICE_ACCOUNT is not set": func(p *Pod) { p.ServiceAccount = "" },
		"POD_IP is not set":          func(p *Pod) { p.IPs = nil },
		"--cluster-id is not set":    func(p *Pod) { p.ClusterID = "" },
	} {
		p := pod()
		spoil(&p)
		if err := p.Validate(); err == nil || err.Error() != what {
			t.Errorf("got %v, want %q", err, what)
		}
	}
}

func TestReadInfo(t *testing.T) {
	dir := t.TempDir()
	if labels, annotations, err := ReadInfo(dir); err != nil || len(labels)+len(annotations) != 0 {
		t.Errorf("absent files: %v %v %v", labels, annotations, err)
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("labels", "app=\"a\"\nx.io/y=\"v=1\"")
	write("annotations", `note="two\nlines \"quoted\""`+"\n")
	labels, annotations, err := ReadInfo(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"app": "a", "x.io/y": "v=1"}, labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"note": "two\nlines \"quoted\""}, annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	write("labels", "app=a")
	if _, _, err := ReadInfo(dir); err == nil {
		t.Error("a value without quotes was accepted")
	}
}

func TestConcurrency(t *testing.T) {
	v2 := func(text string) fstest.MapFS { return fstest.MapFS{"cpu.max": {Data: []byte(text)}} }
	v1 := func(quota, period string) fstest.MapFS {
		return fstest.MapFS{"cpu/cpu.cfs_quota_us": {Data: []byte(quota)}, "cpu/cpu.cfs_period_us": {Data: []byte(period)}}
	}
	tests := []struct {
		name    string
		role    Role
		wanted  int
		cgroups fstest.MapFS
		want    int
		bad     bool
	}{
		{name: "asked for", role: Sidecar, wanted: 5, cgroups: v2("100000 100000"), want: 5},
		{name: "v2 limit rounded up", role: Sidecar, cgroups: v2("250000 100000\n"), want: 3},
		{name: "v2 small limit", role: Router, cgroups: v2("10000 100000\n"), want: 1},
		{name: "limit above the machine", role: Router, cgroups: v2("6400000 100000"), want: 8},
		{name: "v2 none, sidecar", role: Sidecar, cgroups: v2("max 100000\n"), want: 2},
		{name: "v2 none, router", role: Router, cgroups: v2("max 100000\n"), want: 8},
		{name: "v1 limit", role: Router, cgroups: v1("400000\n", "100000\n"), want: 4},
		{name: "v1 none", role: Sidecar, cgroups: v1("-1\n", "100000\n"), want: 2},
		{name: "no cgroups", role: Router, cgroups: fstest.MapFS{}, want: 8},
		{name: "nonsense", role: Router, cgroups: v2("lots"), bad: true},
		{name: "zero period", role: Router, cgroups: v2("1 0"), bad: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Concurrency(tt.role, tt.wanted, 8, tt.cgroups)
			if got != tt.want || (err != nil) != tt.bad {
				t.Errorf("got %d, %v; want %d", got, err, tt.want)
			}
		})
	}
}

func TestParseIPs(t *testing.T) {
	both, err := ParseIPs("10.0.0.1,fd00::1", "10.0.0.1")
	if err != nil || len(both) != 2 || both[1].String() != "fd00::1" {
		t.Errorf("%v %v", both, err)
	}
	if one, err := ParseIPs("", "10.0.0.1"); err != nil || len(one) != 1 {
		t.Errorf("%v %v", one, err)
	}
	if _, err := ParseIPs("", "nowhere"); err == nil {
		t.Error("a name was accepted as an address")
	}
	if _, err := ParseRole("gateway"); err == nil {
		t.Error("an unknown role was accepted")
	}
}

func TestReadMetadata(t *testing.T) {
	got, err := ReadMetadata([]string{"ISTIO_META_DNS_CAPTURE=true", "ISTIO_META_NAMESPACE=other", "ISTIO_META_=x", "PATH=/bin", "ISTIO_META_EMPTY"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"DNS_CAPTURE": "true", "NAMESPACE": "other", "EMPTY": ""}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	message, err := Pod{Role: Sidecar, Name: "a", Namespace: "shop", IPs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, Metadata: got}.Message()
	if err != nil {
		t.Fatal(err)
	}
	fields := message.GetMetadata().GetFields()
	if fields["DNS_CAPTURE"].GetStringValue() != "true" || fields["NAMESPACE"].GetStringValue() != "shop" {
		t.Errorf("the node says %v", fields)
	}
	var many []string
	for i := range maxMetadata + 1 {
		many = append(many, fmt.Sprintf("%sN%d=x", metadataPrefix, i))
	}
	for what, environment := range map[string][]string{"many": many, "long": {"ISTIO_META_A=" + strings.Repeat("x", maxMetadataValue+1)}, "bytes": {"ISTIO_META_A=\xff"}} {
		if _, err := ReadMetadata(environment); err == nil || !strings.Contains(err.Error(), metadataPrefix) {
			t.Errorf("%s: got %v, want an error that names the variable", what, err)
		}
	}
}
