// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secretv3 "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/go-logr/logr"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/meshwright/meshwright/internal/agent/identity"
)

func material(name string) *identity.Material {
	return &identity.Material{Key: []byte("key " + name), Chain: []byte("chain " + name), Roots: []byte("roots " + name)}
}

func dial(t *testing.T, s *Server) secretv3.SecretDiscoveryServiceClient {
	t.Helper()
	path := filepath.Join(t.TempDir(), "private", "sds.sock")
	// What an earlier process left behind must not be in the way.
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	stale, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = stale.Close()
	listener, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v %v", info.Mode(), err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	conn, err := grpc.NewClient("unix:"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return secretv3.NewSecretDiscoveryServiceClient(conn)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func unpack(t *testing.T, packed *anypb.Any) *tlsv3.Secret {
	t.Helper()
	out := &tlsv3.Secret{}
	if err := packed.UnmarshalTo(out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestStateOfTheWorld(t *testing.T) {
	s := NewServer(logr.Discard())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	stream, err := dial(t, s).StreamSecrets(ctx)
	if err != nil {
		t.Fatal(err)
	}
	request := &discoveryv3.DiscoveryRequest{Node: &corev3.Node{Id: "n"}, TypeUrl: resource.SecretType, ResourceNames: []string{"default"}}
	if err := stream.Send(request); err != nil {
		t.Fatal(err)
	}
	answers := make(chan *discoveryv3.DiscoveryResponse)
	go func() {
		defer close(answers)
		for {
			answer, err := stream.Recv()
			if err != nil {
				return
			}
			answers <- answer
		}
	}()
	select {
	case answer := <-answers:
		t.Fatalf("an answer before there is a certificate: %v", answer)
	case <-time.After(200 * time.Millisecond):
	}
	if isClosed(s.Served()) {
		t.Error("served although there is nothing to serve")
	}
	for _, name := range []string{"one", "two"} {
		if err := s.Publish(material(name)); err != nil {
			t.Fatal(err)
		}
		answer, ok := <-answers
		if !ok || len(answer.GetResources()) != 1 {
			t.Fatalf("%s: answer %v", name, answer)
		}
		got := unpack(t, answer.GetResources()[0])
		if key := string(got.GetTlsCertificate().GetPrivateKey().GetInlineBytes()); got.GetName() != "default" || key != "key "+name {
			t.Errorf("%s: secret %q with key %q", name, got.GetName(), key)
		}
		// The acknowledgement asks for the next one.
		err := stream.Send(&discoveryv3.DiscoveryRequest{
			TypeUrl: resource.SecretType, ResourceNames: []string{"default"},
			VersionInfo: answer.GetVersionInfo(), ResponseNonce: answer.GetNonce(),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if !isClosed(s.Served()) {
		t.Error("the certificate was given, but is not served")
	}
}

func TestDelta(t *testing.T) {
	s := NewServer(logr.Discard())
	if err := s.Publish(material("one")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	stream, err := dial(t, s).DeltaSecrets(ctx)
	if err != nil {
		t.Fatal(err)
	}
	err = stream.Send(&discoveryv3.DeltaDiscoveryRequest{
		Node: &corev3.Node{Id: "n"}, TypeUrl: resource.SecretType, ResourceNamesSubscribe: []string{"ROOTCA"},
	})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil || len(answer.GetResources()) != 1 {
		t.Fatalf("%v %v", answer, err)
	}
	got := unpack(t, answer.GetResources()[0].GetResource())
	if roots := string(got.GetValidationContext().GetTrustedCa().GetInlineBytes()); roots != "roots one" {
		t.Errorf("roots %q", roots)
	}
	if got.GetTlsCertificate() != nil {
		t.Error("the roots came with a key")
	}
	if isClosed(s.Served()) {
		t.Error("the roots alone are no certificate")
	}
}
