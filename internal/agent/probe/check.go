// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// maxBodyBytes is how much of an answer is read; the kubelet reads the same amount.
const maxBodyBytes = 10 << 10

// maxRedirects is how many redirects within the same host are followed, as the kubelet does.
const maxRedirects = 10

// userAgent is what the kubelet's probes are recognised by; applications filter their logs by its prefix.
const userAgent = "kube-probe/meshwright"

// Checker executes probes against the application in its pod. The zero value is not usable: call NewChecker.
type Checker struct {
	host   string
	local  net.IP
	client *http.Client
}

// NewChecker makes a checker that reaches the application at host (the pod's IP, as the kubelet would) from the source
// address local. Traffic of the agent's user to the pod's own IP is sent to the proxy's inbound port by the capture rules
// unless it comes from that address; an invalid (zero) local leaves the choice to the kernel.
func NewChecker(host string, local net.IP) *Checker {
	c := &Checker{host: host, local: local}
	c.client = &http.Client{
		Transport: &http.Transport{
			DialContext: c.dial,
			// Every probe opens its own connection, otherwise a server that no longer accepts would still look alive.
			DisableKeepAlives:  true,
			DisableCompression: true,
			// The kubelet does not verify probe certificates either: they are made for other names.
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // documented behaviour of HTTPS probes
			Proxy:           nil,
		},
		CheckRedirect: sameHostOnly,
	}
	return c
}

// dial connects from the local address, unless the probe names an address of the other family, such as 127.0.0.1 in a pod
// of IPv6: what is made to loopback is not captured.
func (c *Checker) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var dialer net.Dialer
	to, err := netip.ParseAddrPort(address)
	if c.local != nil && (err != nil || to.Addr().Unmap().Is4() == (c.local.To4() != nil)) {
		dialer.LocalAddr = &net.TCPAddr{IP: c.local}
	}
	return dialer.DialContext(ctx, network, address)
}

// sameHostOnly follows redirects within the host; one that leaves it counts as the answer, which is a success (3xx).
func sameHostOnly(req *http.Request, via []*http.Request) error {
	if req.URL.Hostname() != via[0].URL.Hostname() {
		return http.ErrUseLastResponse
	}
	if len(via) >= maxRedirects {
		return errors.New("stopped after 10 redirects")
	}
	return nil
}

// Check executes the probe once within its timeout. A nil error is success.
func (c *Checker) Check(ctx context.Context, p Probe) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(max(p.TimeoutSeconds, 1))*time.Second)
	defer cancel()
	switch {
	case p.HTTPGet != nil:
		return c.http(ctx, p.HTTPGet)
	case p.TCPSocket != nil:
		return c.tcp(ctx, p.TCPSocket)
	case p.GRPC != nil:
		return c.grpc(ctx, p.GRPC)
	case p.Exec != nil && len(p.Exec.Command) > 0:
		return command(ctx, p.Exec.Command)
	}
	return errors.New("probe has no handler")
}

// command runs a program. What it writes is its own; it is not given to anybody.
func command(ctx context.Context, words []string) error {
	run := exec.CommandContext(ctx, words[0], words[1:]...)
	run.WaitDelay = time.Second // for what keeps its output open after it was killed
	if err := run.Run(); err != nil {
		return fmt.Errorf("command probe: %w", err)
	}
	return nil
}

func (c *Checker) address(host string, port int32) string {
	return net.JoinHostPort(cmp.Or(host, c.host), strconv.Itoa(int(port)))
}

func (c *Checker) http(ctx context.Context, h *HTTPGet) error {
	target, err := url.Parse(h.Path)
	if err != nil {
		return fmt.Errorf("path %q: %w", h.Path, err)
	}
	target.Scheme, target.Host = "http", c.address(h.Host, h.Port)
	if strings.EqualFold(h.Scheme, "HTTPS") {
		target.Scheme = "https"
	}
	if !strings.HasPrefix(target.Path, "/") {
		target.Path = "/" + target.Path
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return fmt.Errorf("build request: %w", err)
	}
	req.Header.Set("User-Agent", userAgent)
	req.Header.Set("Accept", "*/*")
	for i, header := range h.Headers {
		switch {
		case strings.EqualFold(header.Name, "Host"):
			req.Host = header.Value
		case firstOf(h.Headers[:i], header.Name):
			req.Header.Set(header.Name, header.Value)
		default:
			req.Header.Add(header.Name, header.Value)
		}
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return fmt.Errorf("http probe: %w", err)
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, maxBodyBytes)
	if resp.StatusCode < 200 || resp.StatusCode >= 400 {
		return fmt.Errorf("http probe: application answered %d", resp.StatusCode)
	}
	return nil
}

// firstOf reports whether no header before has that name: the first one replaces our default, further ones add to it.
func firstOf(before []Header, name string) bool {
	for _, h := range before {
		if strings.EqualFold(h.Name, name) {
			return false
		}
	}
	return true
}

func (c *Checker) tcp(ctx context.Context, t *TCPSocket) error {
	conn, err := c.dial(ctx, "tcp", c.address(t.Host, t.Port))
	if err != nil {
		return fmt.Errorf("tcp probe: %w", err)
	}
	return conn.Close()
}

func (c *Checker) grpc(ctx context.Context, g *GRPC) error {
	conn, err := grpc.NewClient("passthrough:///"+c.address("", g.Port),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUserAgent(userAgent),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return c.dial(ctx, "tcp", address)
		}))
	if err != nil {
		return fmt.Errorf("grpc probe: %w", err)
	}
	defer conn.Close()
	resp, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{Service: g.Service})
	if status.Code(err) == codes.Unimplemented {
		return errors.New("grpc probe: application does not implement grpc.health.v1.Health")
	}
	if err != nil {
		return fmt.Errorf("grpc probe: %w", err)
	}
	if resp.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		return fmt.Errorf("grpc probe: application answered %s", resp.GetStatus())
	}
	return nil
}
