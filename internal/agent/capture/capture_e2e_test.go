// SPDX-License-Identifier: Apache-2.0

//go:build e2e && linux

package capture

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The two ends of a veth pair: a pod with rules, and a client elsewhere in the cluster.
const (
	podAddress    = "10.77.0.2"
	clientAddress = "10.77.0.1"
	podAddress6   = "fd77::2"
	client6       = "fd77::1"
)

// namespace is a network namespace of its own, held open by a file.
type namespace struct{ file *os.File }

func newNamespace(t *testing.T) namespace {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test makes network namespaces and must run as root")
	}
	type result struct {
		file *os.File
		err  error
	}
	made := make(chan result)
	go func() {
		// Never unlocked: the thread ends with the goroutine, and its namespace with it.
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			made <- result{err: err}
			return
		}
		file, err := os.Open("/proc/thread-self/ns/net")
		made <- result{file, err}
	}()
	r := <-made
	if r.err != nil {
		t.Fatalf("new network namespace: %v", r.err)
	}
	t.Cleanup(func() { _ = r.file.Close() })
	return namespace{r.file}
}

// do runs f inside the namespace as that user, on a thread that is thrown away.
func (n namespace) do(uid, gid int, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		// The raw calls change this thread only; the wrappers of Go would change the whole process.
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid)); errno != 0 {
			done <- errno
			return
		}
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); errno != 0 {
			done <- errno
			return
		}
		done <- f()
	}()
	return <-done
}

func (n namespace) must(t *testing.T, f func() error) {
	t.Helper()
	if err := n.do(0, 0, f); err != nil {
		t.Fatal(err)
	}
}

// network connects a pod and a client.
func network(t *testing.T) (pod, client namespace) {
	t.Helper()
	pod, client = newNamespace(t), newNamespace(t)
	client.must(t, func() error {
		veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "eth1"}
		if err := netlink.LinkAdd(veth); err != nil {
			return err
		}
		peer, err := netlink.LinkByName("eth1")
		if err != nil {
			return err
		}
		return netlink.LinkSetNsFd(peer, int(pod.file.Fd()))
	})
	up := func(link string, addresses ...string) func() error {
		return func() error {
			for name, list := range map[string][]string{"lo": nil, link: addresses} {
				l, err := netlink.LinkByName(name)
				if err != nil {
					return err
				}
				if err := netlink.LinkSetUp(l); err != nil {
					return err
				}
				for _, a := range list {
					address, err := netlink.ParseAddr(a)
					if err != nil {
						return err
					}
					address.Flags = unix.IFA_F_NODAD
					if err := netlink.AddrAdd(l, address); err != nil {
						return fmt.Errorf("%s on %s: %w", a, name, err)
					}
				}
			}
			return nil
		}
	}
	client.must(t, up("eth0", clientAddress+"/24", client6+"/64"))
	pod.must(t, up("eth1", podAddress+"/24", podAddress6+"/64"))
	return pod, client
}

// serve answers each connection to address with a word and closes it.
func (n namespace) serve(t *testing.T, address, word string) {
	t.Helper()
	n.must(t, func() error {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = listener.Close() })
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				_, _ = io.WriteString(conn, word)
				_ = conn.Close()
			}
		}()
		return nil
	})
}

// ask connects as that user and returns the word, or "refused".
func (n namespace) ask(t *testing.T, uid, gid int, source, address string) string {
	t.Helper()
	var word string
	err := n.do(uid, gid, func() error {
		dialer := net.Dialer{Timeout: 3 * time.Second}
		if source != "" {
			dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(source)}
		}
		conn, err := dialer.Dial("tcp", address)
		if err != nil {
			if strings.Contains(err.Error(), "refused") {
				word = "refused"
				return nil
			}
			return err
		}
		defer conn.Close()
		out, err := io.ReadAll(io.LimitReader(conn, 100))
		word = string(out)
		return err
	})
	if err != nil {
		t.Errorf("uid %d from %q to %s: %v", uid, source, address, err)
	}
	return word
}

func (n namespace) apply(t *testing.T, config Config) []Result {
	t.Helper()
	var results []Result
	n.must(t, func() (err error) {
		_, ipv6, err := IPv6Address()
		if err != nil {
			return err
		}
		if !ipv6 {
			return fmt.Errorf("IPv6 of the pod was not seen")
		}
		results, err = Apply(context.Background(), config, Options{IPv6: ipv6})
		return err
	})
	return results
}

// saved is the whole of table nat of both families.
func (n namespace) saved(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, tool := range []string{"iptables-save", "ip6tables-save"} {
		n.must(t, func() error {
			out, err := exec.Command(tool, "-t", "nat").Output()
			for line := range strings.SplitSeq(string(out), "\n") {
				if strings.HasPrefix(line, "-") || strings.HasPrefix(line, ":MESH") {
					all.WriteString(line + "\n")
				}
			}
			return err
		})
	}
	return all.String()
}

func TestTrafficIsCaptured(t *testing.T) {
	pod, client := network(t)
	pod.serve(t, ":15001", "outbound")
	pod.serve(t, ":15006", "inbound")
	pod.serve(t, ":15021", "agent")
	pod.serve(t, ":8080", "app")
	client.serve(t, ":9090", "peer")
	client.serve(t, ":9091", "peer")
	config := sidecar()
	config.ExcludeOutboundPorts = []uint16{9091}
	pod.apply(t, config)

	const app, proxy = 1000, 1337
	tests := []struct {
		what        string
		from        namespace
		uid         int
		source      string
		host, host6 string
		port        string
		want        string
	}{
		{what: "a client calls the pod", from: client, host: podAddress, host6: podAddress6, port: "8080", want: "inbound"},
		{what: "a client calls a port that nobody serves", from: client, host: podAddress, host6: podAddress6, port: "8081", want: "inbound"},
		{what: "the kubelet probes the agent", from: client, host: podAddress, host6: podAddress6, port: "15021", want: "agent"},
		{what: "the application calls out", from: pod, uid: app, host: clientAddress, host6: client6, port: "9090", want: "outbound"},
		{what: "root in the pod calls out", from: pod, uid: 0, host: clientAddress, host6: client6, port: "9090", want: "outbound"},
		{what: "the application calls an excluded port", from: pod, uid: app, host: clientAddress, host6: client6, port: "9091", want: "peer"},
		{what: "the proxy calls out", from: pod, uid: proxy, host: clientAddress, host6: client6, port: "9090", want: "peer"},
		{what: "the application calls itself at localhost", from: pod, uid: app, host: "127.0.0.1", host6: "::1", port: "8080", want: "app"},
		{what: "the application calls itself at the pod's address", from: pod, uid: app, host: podAddress, host6: podAddress6, port: "8080", want: "app"},
		{what: "the proxy routes a call back to its own pod", from: pod, uid: proxy, host: podAddress, host6: podAddress6, port: "8080", want: "inbound"},
		{what: "the proxy delivers to the application", from: pod, uid: proxy, source: "passthrough", host: podAddress, host6: podAddress6, port: "8080", want: "app"},
		{what: "the proxy delivers to localhost", from: pod, uid: proxy, host: "127.0.0.1", host6: "::1", port: "8080", want: "app"},
	}
	for _, tt := range tests {
		for _, v6 := range []bool{false, true} {
			host, source := tt.host, ""
			if v6 {
				host = tt.host6
			}
			if tt.source != "" {
				source = PassthroughIPv4
				if v6 {
					source = PassthroughIPv6
				}
			}
			address := net.JoinHostPort(host, tt.port)
			if got := tt.from.ask(t, tt.uid, tt.uid, source, address); got != tt.want {
				t.Errorf("%s (%s): reached %q, want %q", tt.what, address, got, tt.want)
			}
		}
	}
}

func TestIncludeLists(t *testing.T) {
	pod, client := network(t)
	pod.serve(t, "0.0.0.0:15001", "outbound")
	pod.serve(t, "0.0.0.0:15006", "inbound")
	pod.serve(t, "0.0.0.0:8080", "app")
	pod.serve(t, "0.0.0.0:8081", "app")
	client.serve(t, "0.0.0.0:9090", "peer")
	config := sidecar()
	config.AllInboundPorts, config.InboundPorts = false, []uint16{8080}
	config.AllOutbound = false
	pod.apply(t, config)
	for address, want := range map[string]string{podAddress + ":8080": "inbound", podAddress + ":8081": "app"} {
		if got := client.ask(t, 0, 0, "", address); got != want {
			t.Errorf("%s: reached %q, want %q", address, got, want)
		}
	}
	if got := pod.ask(t, 1000, 1000, "", clientAddress+":9090"); got != "peer" {
		t.Errorf("nothing is included, but the call reached %q", got)
	}
	// The same pod, set up again otherwise: the old rules go.
	_, config.IncludeOutboundCIDRs, _ = ParseCIDRs("10.77.0.0/30")
	pod.apply(t, config)
	if got := pod.ask(t, 1000, 1000, "", clientAddress+":9090"); got != "outbound" {
		t.Errorf("the client's address is included, but the call reached %q", got)
	}
}

func TestApplyAgainChangesNothing(t *testing.T) {
	pod, _ := network(t)
	config := sidecar()
	config.ExcludeOutboundPorts = []uint16{3306}
	_, config.ExcludeOutboundCIDRs, _ = ParseCIDRs("10.9.0.0/16,10.9.9.9,fd00:9::/32,0.0.0.0/0")
	pod.must(t, func() error {
		out, err := exec.Command("iptables", "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "--dport", "7", "-j", "RETURN").CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	pod.apply(t, config)
	first := pod.saved(t)
	for i := range 100 {
		for _, result := range pod.apply(t, config) {
			if result.Changed {
				t.Fatalf("run %d changed the %s rules:\n%s", i, result.Family, result.Rules)
			}
		}
	}
	if again := pod.saved(t); again != first {
		t.Errorf("rules before:\n%s\nafter 100 runs:\n%s", first, again)
	}
	if !strings.Contains(first, "-A OUTPUT -p tcp -m tcp --dport 7 -j RETURN") {
		t.Errorf("the rule of another is gone:\n%s", first)
	}
}

// TestApplySurvivesKills kills the set-up at random moments, alternating between two settings, and then runs it once more.
func TestApplySurvivesKills(t *testing.T) {
	pod, _ := network(t)
	one, two := sidecar(), sidecar()
	two.ExcludeOutboundPorts = []uint16{3306, 5432}
	two.InboundCapturePort = 15106
	pod.apply(t, one)
	wantOne := pod.saved(t)
	pod.apply(t, two)
	wantTwo := pod.saved(t)
	killed := 0
	for i := range 100 {
		config := one
		if i%2 == 0 {
			config = two
		}
		config.ExcludeInboundPorts = append([]uint16{uint16(1000 + i)}, config.ExcludeInboundPorts...)
		pod.must(t, func() error {
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rand.IntN(80_000))*time.Microsecond)
			defer cancel()
			if _, err := Apply(ctx, config, Options{IPv6: true}); err != nil {
				killed++
			}
			return nil
		})
	}
	if killed == 0 {
		t.Error("no run was killed: the test shows nothing")
	}
	t.Logf("%d of 100 runs were killed", killed)
	pod.apply(t, one)
	if got := pod.saved(t); got != wantOne {
		t.Errorf("after the kills:\n%s\nwant:\n%s", got, wantOne)
	}
	pod.apply(t, two)
	if got := pod.saved(t); got != wantTwo {
		t.Errorf("after the kills:\n%s\nwant:\n%s", got, wantTwo)
	}
}

func TestWithoutPrivileges(t *testing.T) {
	pod := newNamespace(t)
	err := pod.do(1337, 1337, func() error {
		_, err := Apply(context.Background(), sidecar(), Options{})
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "NET_ADMIN") {
		t.Errorf("an unprivileged run must name what it needs, got: %v", err)
	}
}

// serveUDP answers each datagram to address with a word.
func (n namespace) serveUDP(t *testing.T, address, word string) {
	t.Helper()
	n.must(t, func() error {
		conn, err := net.ListenPacket("udp", address)
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = conn.Close() })
		go func() {
			buffer := make([]byte, 100)
			for {
				_, from, err := conn.ReadFrom(buffer)
				if err != nil {
					return
				}
				_, _ = conn.WriteTo([]byte(word), from)
			}
		}()
		return nil
	})
}

// askUDP sends a datagram as that user from that port (0: any) and returns the word.
func (n namespace) askUDP(t *testing.T, uid, port int, address string) string {
	t.Helper()
	var word string
	err := n.do(uid, uid, func() error {
		dialer := net.Dialer{LocalAddr: &net.UDPAddr{Port: port}}
		conn, err := dialer.Dial("udp", address)
		if err != nil {
			return err
		}
		defer conn.Close()
		if _, err := conn.Write([]byte("?")); err != nil {
			return err
		}
		if err := conn.SetReadDeadline(time.Now().Add(3 * time.Second)); err != nil {
			return err
		}
		buffer := make([]byte, 100)
		size, err := conn.Read(buffer)
		word = string(buffer[:size])
		return err
	})
	if err != nil {
		t.Errorf("uid %d from port %d to %s: %v", uid, port, address, err)
	}
	return word
}

func TestDNSIsCaptured(t *testing.T) {
	pod, client := network(t)
	for _, host := range []string{clientAddress, client6} {
		for _, port := range []string{"53", "5353"} {
			client.serveUDP(t, net.JoinHostPort(host, port), "server")
		}
		client.serve(t, net.JoinHostPort(host, "53"), "server")
	}
	pod.serve(t, ":15001", "outbound")
	for _, loopback := range []string{"127.0.0.1", "::1"} {
		pod.serveUDP(t, net.JoinHostPort(loopback, "15053"), "agent")
		pod.serve(t, net.JoinHostPort(loopback, "15053"), "agent")
	}
	config := sidecar()
	config.DNSCapturePort = 15053
	config.DNSServers = []netip.Addr{netip.MustParseAddr(clientAddress), netip.MustParseAddr(client6)}
	pod.apply(t, config)
	for _, result := range pod.apply(t, config) {
		if result.Changed {
			t.Errorf("the second run changed the %s rules:\n%s", result.Family, result.Rules)
		}
	}
	const app, proxy = 1000, 1337
	for _, host := range []string{clientAddress, client6} {
		server := net.JoinHostPort(host, "53")
		if got := pod.askUDP(t, app, 0, server); got != "agent" {
			t.Errorf("the application's query to %s reached %q", server, got)
		}
		if got := pod.ask(t, app, app, "", server); got != "agent" {
			t.Errorf("the application's query to %s by TCP reached %q", server, got)
		}
		if got := pod.askUDP(t, proxy, 0, server); got != "server" {
			t.Errorf("the agent's query to %s reached %q", server, got)
		}
		if got := pod.ask(t, proxy, proxy, "", server); got != "server" {
			t.Errorf("the agent's query to %s by TCP reached %q", server, got)
		}
		if got := pod.askUDP(t, app, 0, net.JoinHostPort(host, "5353")); got != "server" {
			t.Errorf("a datagram to another port reached %q", got)
		}
		// What the kernel remembers of a port must not lead the next one to use it astray.
		for i, uid := range []int{app, proxy, app, proxy} {
			want := map[int]string{app: "agent", proxy: "server"}[uid]
			if got := pod.askUDP(t, uid, 40053, server); got != want {
				t.Errorf("query %d from the same port, of uid %d, reached %q, want %q", i, uid, got, want)
			}
		}
	}
	// Only the pod's servers are meant.
	config.DNSServers = config.DNSServers[1:]
	pod.apply(t, config)
	if got := pod.askUDP(t, app, 0, clientAddress+":53"); got != "server" {
		t.Errorf("a query to a server of the application's choice reached %q", got)
	}
}
