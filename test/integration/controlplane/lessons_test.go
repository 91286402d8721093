// SPDX-License-Identifier: Apache-2.0

//go:build integration

package controlplane_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/structpb"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshwright/meshwright/internal/xds"
	"github.com/meshwright/meshwright/test/port"
)

// proxy subscribes to all clusters and to those with the names, as a proxy of the
// workload, and returns the clusters of the first response that names any.
func proxy(t *testing.T, address, workload string, names ...string) string {
	t.Helper()
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(connection).DeltaAggregatedResources(ctx)
	if err != nil {
		t.Fatal(err)
	}
	metadata, err := structpb.NewStruct(map[string]any{"NAMESPACE": "lessons", "CLUSTER_ID": "Kubernetes", "WORKLOAD_NAME": workload})
	if err != nil {
		t.Fatal(err)
	}
	request := &discoveryv3.DeltaDiscoveryRequest{
		Node:    &corev3.Node{Id: "sidecar~10.0.0.1~" + workload + ".lessons~lessons.svc.cluster.local", Metadata: metadata},
		TypeUrl: xds.ClusterType, ResourceNamesSubscribe: append([]string{"*"}, names...),
	}
	if err := stream.Send(request); err != nil {
		t.Fatal(err)
	}
	response, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range response.Resources {
		if strings.HasPrefix(r.Name, "outbound|") {
			out = append(out, r.Name)
		}
	}
	return strings.Join(out, " ")
}

// TestLessonsOutliveTheControlPlane: the proxy of a workload that had none while the control plane was replaced begins
// with what the workload used before, and what another replica learns is known to both.
func TestLessonsOutliveTheControlPlane(t *testing.T) {
	makeNamespace(t, "lessons", nil)
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 80}, {Name: "tcp", Port: 90}}},
	}
	if _, err := typed.CoreV1().Services("lessons").Create(t.Context(), service, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	settings := filepath.Join(t.TempDir(), "mesh")
	if err := os.WriteFile(settings, []byte("discoveryScope: on-demand\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	replica := func() (*replica, string) {
		address := port.Address(t)
		return start(t, "--xds-plaintext-address="+address, "--mesh-config="+settings), address
	}
	const web, tcp = "outbound|80||web.lessons.svc.cluster.local", "outbound|90||web.lessons.svc.cluster.local"
	first, one := replica()
	if got := proxy(t, one, "cart"); got != "" {
		t.Fatalf("a workload that used nothing begins with %s", got)
	}
	if got := proxy(t, one, "cart", web); got != web {
		t.Fatalf("asked for %s, got %q", web, got)
	}
	first.stop(t)

	_, two := replica()
	_, three := replica()
	for _, address := range []string{two, three} {
		if got := proxy(t, address, "cart"); got != web {
			t.Errorf("after a restart the workload begins with %q, want %s", got, web)
		}
		if got := proxy(t, address, "other"); got != "" {
			t.Errorf("another workload begins with %q", got)
		}
	}
	proxy(t, two, "cart", tcp)
	within(t, time.Minute, "what another replica learned", func() error {
		if got := proxy(t, three, "cart"); got != web+" "+tcp {
			return fmt.Errorf("the workload begins with %q", got)
		}
		return nil
	})
}
