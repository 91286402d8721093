// SPDX-License-Identifier: Apache-2.0

//go:build integration && linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/meshwright/meshwright/internal/agent/redirect"
	"github.com/meshwright/meshwright/internal/cni/node"
	"github.com/meshwright/meshwright/internal/cni/socket"
)

// elsewhere is a server outside of the pod that is not there.
const elsewhere = "10.79.0.77:80"

// TestPlugin calls the program as a runtime does, for a pod in a network
// namespace of its own: its connections end at the proxy's port, and its mark
// can be read without any right.
func TestPlugin(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "cni")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	arguments := []string{redirect.Command, "--inbound-ports=*", "--proxy-uid=1337", "--proxy-gid=1337", redirect.Verify}
	clients := fake.NewClientset(
		&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "plain", UID: "1"}},
		&corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "cart", UID: "1"},
			Spec:       corev1.PodSpec{InitContainers: []corev1.Container{{Name: redirect.VerifyContainer, Args: arguments}}},
		})
	redirector := &node.Redirector{Pods: func(ns string) node.Pods { return clients.CoreV1().Pods(ns) }, Log: logr.Discard()}
	ctx, cancel := context.WithCancel(context.Background())
	path, served := filepath.Join(dir, "s"), make(chan error, 1)
	go func() { served <- socket.Serve(ctx, path, time.Minute, redirector.Handle) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	for {
		if conn, err := net.Dial("unixpacket", path); err == nil {
			conn.Close()
			break
		}
		time.Sleep(time.Millisecond)
	}
	pod := newPod(t)
	flags, err := redirect.FromArguments(arguments)
	if err != nil {
		t.Fatal(err)
	}
	call := func(verb, name string) (string, error) {
		t.Helper()
		config := fmt.Sprintf(`{"cniVersion":"1.1.0","name":"pods","type":"meshwright-cni","socket":%q,"excludeNamespaces":["kube-system"],
			"prevResult":{"cniVersion":"1.1.0","ips":[{"address":"10.79.0.2/24"}]}}`, path)
		cmd := exec.CommandContext(t.Context(), program)
		cmd.Stdin = strings.NewReader(config)
		cmd.Env = []string{
			"CNI_COMMAND=" + verb, "CNI_CONTAINERID=x", "CNI_NETNS=" + pod.path, "CNI_IFNAME=eth0", "CNI_PATH=/",
			"CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=" + name + ";K8S_POD_UID=1;K8S_POD_INFRA_CONTAINER_ID=x",
		}
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		err := cmd.Run()
		return out.String(), err
	}
	captured := func() bool {
		var got string
		pod.do(t, func() error { got = dialElsewhere(); return nil })
		return got == "captured"
	}
	marked := func() (is bool) {
		pod.do(t, func() (err error) { is, err = flags.Marked(); return err })
		return is
	}
	if out, err := call("CHECK", "cart"); err == nil {
		t.Errorf("CHECK before ADD: %s", out)
	}
	if out, err := call("ADD", "plain"); err != nil || captured() || marked() {
		t.Fatalf("a pod without a proxy: %v, %s; captured %v, marked %v", err, out, captured(), marked())
	}
	out, err := call("ADD", "cart")
	if err != nil {
		t.Fatalf("ADD: %v: %s", err, out)
	}
	var result struct {
		CNIVersion string
		IPs        []struct{ Address string }
	}
	if err := json.Unmarshal([]byte(out), &result); err != nil || result.CNIVersion != "1.1.0" || len(result.IPs) != 1 || result.IPs[0].Address != "10.79.0.2/24" {
		t.Errorf("the result is %s, %v; want that of the plugins before", out, err)
	}
	if !captured() || !marked() {
		t.Errorf("after ADD: captured %v, marked %v", captured(), marked())
	}
	for _, verb := range []string{"CHECK", "ADD", "DEL"} {
		if out, err := call(verb, "cart"); err != nil {
			t.Errorf("%s: %v: %s", verb, err, out)
		}
	}
	if out, err := call("VERSION", "cart"); err != nil || !strings.Contains(out, `"1.1.0"`) {
		t.Errorf("VERSION: %v: %s", err, out)
	}
	other, err := redirect.FromArguments([]string{redirect.Command, "--inbound-ports=80"})
	if err != nil {
		t.Fatal(err)
	}
	pod.do(t, func() error {
		if is, err := other.Marked(); is || err != nil {
			t.Errorf("other rules are said to be there: %v", err)
		}
		return nil
	})
}

// aPod is a network namespace with an address and somebody who listens where the
// proxy would.
type aPod struct {
	file *os.File
	path string
}

func newPod(t *testing.T) aPod {
	t.Helper()
	made := make(chan error, 1)
	var pod aPod
	go func() {
		// Never unlocked: the thread ends with the goroutine.
		runtime.LockOSThread()
		made <- func() (err error) {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return err
			}
			if pod.file, err = os.Open("/proc/thread-self/ns/net"); err != nil {
				return err
			}
			pod.path = fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), pod.file.Fd())
			return furnish()
		}()
	}()
	if err := <-made; err != nil {
		t.Fatalf("make a pod's network (needs root): %v", err)
	}
	t.Cleanup(func() { pod.file.Close() })
	return pod
}

// furnish gives this namespace an interface, and a listener that says who it is.
func furnish() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "peer0"}
	if err := netlink.LinkAdd(veth); err != nil {
		return err
	}
	address, err := netlink.ParseAddr("10.79.0.2/24")
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(veth, address); err != nil {
		return err
	}
	peer, err := netlink.LinkByName("peer0")
	if err != nil {
		return err
	}
	for _, link := range []netlink.Link{lo, veth, peer} {
		if err := netlink.LinkSetUp(link); err != nil {
			return err
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:15001")
	if err != nil {
		return err
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("captured"))
			conn.Close()
		}
	}()
	return nil
}

// dialElsewhere returns what a server elsewhere says; nothing where there is none.
func dialElsewhere() string {
	conn, err := net.DialTimeout("tcp", elsewhere, 500*time.Millisecond)
	if err != nil {
		return ""
	}
	defer conn.Close()
	text, _ := io.ReadAll(conn)
	return string(text)
}

// do runs f in the pod's network namespace.
func (p aPod) do(t *testing.T, f func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := unix.Setns(int(p.file.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
