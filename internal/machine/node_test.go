// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"net/netip"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"
	"k8s.io/apimachinery/pkg/util/validation"
)

func TestEntryName(t *testing.T) {
	for _, c := range []struct{ group, addr, network, want string }{
		{"details", "192.0.2.1", "", "details-192.0.2.1"},
		{"details", "192.0.2.1", "VMs", "details-192.0.2.1-vms"},
		{"details", "2001:db8::7", "", "details-2001-db8--7"},
		{"details", "2001:db8::", "", "details-2001-0db8-0000-0000-0000-0000-0000-0000"},
		{strings.Repeat("g", 250), "192.0.2.1", "", strings.Repeat("g", 243) + "-192.0.2.1"},
		{"a." + strings.Repeat("g", 242), "192.0.2.1", "", strings.Repeat("g", 242) + "-192.0.2.1"},
	} {
		got := EntryName(c.group, netip.MustParseAddr(c.addr), c.network)
		if got != c.want {
			t.Errorf("%s %s %q: %s, want %s", c.group, c.addr, c.network, got, c.want)
		}
		if problems := validation.IsDNS1123Subdomain(got); len(problems) > 0 {
			t.Errorf("%s: %v", got, problems)
		}
	}
}

// machineNode is what a proxy on a machine says.
func machineNode(addr string, more map[string]any) *corev3.Node {
	fields := map[string]any{"NAMESPACE": "shop", "SERVICE_ACCOUNT": "details", MetadataGroup: "details"}
	for k, v := range more {
		fields[k] = v
	}
	metadata, err := structpb.NewStruct(fields)
	if err != nil {
		panic(err)
	}
	return &corev3.Node{Id: "sidecar~" + addr + "~vm.shop~shop.svc.cluster.local", Metadata: metadata}
}

func TestMachineOfNode(t *testing.T) {
	m, err := Of(machineNode("192.0.2.1", map[string]any{"NETWORK": "vms", MetadataProbed: "true"}))
	if err != nil || m.Entry.String() != "shop/details-192.0.2.1-vms" || m.Group.String() != "shop/details" || !m.Probed || m.Account != "details" {
		t.Errorf("%+v %v", m, err)
	}
	if m, err := Of(machineNode("192.0.2.1", map[string]any{MetadataGroup: ""})); m != nil || err != nil {
		t.Errorf("a pod is %+v %v", m, err)
	}
	for _, addr := range []string{"127.0.0.1", "0.0.0.0", "::1", "fe80::1", "224.0.0.1", "machine"} {
		if m, err := Of(machineNode(addr, nil)); err == nil {
			t.Errorf("%s is %+v", addr, m)
		}
	}
	if _, err := Of(&corev3.Node{Id: "x", Metadata: machineNode("192.0.2.1", nil).Metadata}); err == nil {
		t.Error("an id without an address is taken")
	}
}
