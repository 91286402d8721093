// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

func seedRequest(t testing.TB) (*discovery.DeltaDiscoveryRequest, []byte) {
	t.Helper()
	m := &discovery.DeltaDiscoveryRequest{
		Node: &core.Node{Id: "n", Cluster: "c"}, TypeUrl: ClusterType, ResponseNonce: "1",
		ResourceNamesSubscribe: []string{"a", "b"}, ResourceNamesUnsubscribe: []string{"c"},
		InitialResourceVersions: map[string]string{"a": "1", "": "2", "b": ""},
		ErrorDetail:             &status.Status{Code: 3, Message: "no"},
	}
	raw, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return m, raw
}

// same compares a parsed request with what the protobuf library reads.
func same(t *testing.T, got request, want *discovery.DeltaDiscoveryRequest) {
	t.Helper()
	held := map[string]string{}
	got.claims.each(func(name, version []byte) { held[string(name)] = string(version) })
	if !maps.Equal(held, want.GetInitialResourceVersions()) {
		t.Errorf("claims %v, want %v", held, want.GetInitialResourceVersions())
	}
	list := func(n names) (out []string) {
		n.each(func(name []byte) { out = append(out, string(name)) })
		return out
	}
	if got.typ != want.GetTypeUrl() || string(got.nonce) != want.GetResponseNonce() ||
		!slices.Equal(list(got.subscribe), want.GetResourceNamesSubscribe()) || !slices.Equal(list(got.unsubscribe), want.GetResourceNamesUnsubscribe()) {
		t.Errorf("got %+v, want %v", got, want)
	}
	node, err := got.client()
	if err != nil || want.GetNode() != nil && !proto.Equal(node, want.GetNode()) {
		t.Errorf("node %v, error %v, want %v", node, err, want.GetNode())
	}
	message, err := got.message()
	if err != nil || got.refused != (want.GetErrorDetail() != nil) || message != want.GetErrorDetail().GetMessage() {
		t.Errorf("refused %v with %q, error %v, want %v", got.refused, message, err, want.GetErrorDetail())
	}
}

func TestParse(t *testing.T) {
	want, raw := seedRequest(t)
	got, err := parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, want)
	if n := got.claims.count(); n != 3 {
		t.Errorf("%d claims, want 3", n)
	}
	// Claims that come in more than one run.
	more, err := proto.Marshal(&discovery.DeltaDiscoveryRequest{InitialResourceVersions: map[string]string{"late": "3"}})
	if err != nil {
		t.Fatal(err)
	}
	want.InitialResourceVersions["late"] = "3"
	got, err = parse(append(append(append([]byte(nil), raw...), raw...), more...))
	if err != nil {
		t.Fatal(err)
	}
	want.ResourceNamesSubscribe = append(want.ResourceNamesSubscribe, want.GetResourceNamesSubscribe()...)
	want.ResourceNamesUnsubscribe = append(want.ResourceNamesUnsubscribe, want.GetResourceNamesUnsubscribe()...)
	same(t, got, want)
	if n := got.claims.count(); n != 7 {
		t.Errorf("%d claims, want 7", n)
	}
	if _, err := parse(raw[:len(raw)-1]); err == nil {
		t.Error("no error for a request that was cut off")
	}
}

func FuzzParse(f *testing.F) {
	_, raw := seedRequest(f)
	f.Add(raw)
	f.Add(raw[:len(raw)/2])
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := parse(raw)
		if err != nil {
			return
		}
		got.claims.count()
		want := new(discovery.DeltaDiscoveryRequest)
		if proto.Unmarshal(raw, want) != nil {
			// Claims that are no valid entries are only skipped here.
			got.claims.each(func(_, _ []byte) {})
			return
		}
		same(t, got, want)
	})
}

// TestCodecs reads the same message with and without the server's codec: a
// small one, into the room of the one before, and one that is in pieces.
func TestCodecs(t *testing.T) {
	want, small := seedRequest(t)
	for _, size := range []int{0, 2 * frameSpare} {
		want.ResourceNamesSubscribe[0] = strings.Repeat("a", size+1)
		raw, err := proto.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		cut := len(raw) / 2
		for name, codec := range map[string]encoding.CodecV2{"own": Codec(), "protobuf": encoding.GetCodecV2("proto")} {
			f := newFrame(newRooms(1))
			for _, data := range []mem.BufferSlice{
				{mem.SliceBuffer(small)},
				{mem.SliceBuffer(raw[:cut]), mem.SliceBuffer(raw[cut:])},
			} {
				f.done()
				if err := errors.Join(codec.Unmarshal(data, f), f.open()); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
			same(t, f.request, want)
			if f.done(); len(f.rooms) != 1 || f.wire != nil || f.request.typ != "" {
				t.Errorf("%s: something of the message is kept", name)
			}
		}
		if err := Codec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(raw)}, new(discovery.DeltaDiscoveryRequest)); err != nil {
			t.Errorf("a message of another service: %v", err)
		}
	}
	f := newFrame(newRooms(1))
	if err := Codec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(small[:len(small)-1])}, f); err != nil {
		t.Fatal(err)
	}
	if f.open() == nil {
		t.Error("a message that was cut off is read")
	}
}
