// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/meshwright/meshwright/internal/agent/health"
	"github.com/meshwright/meshwright/internal/agent/node"
	"github.com/meshwright/meshwright/internal/agent/probe"
)

// Config is everything that one agent is told.
type Config struct {
	Pod              node.Pod
	DiscoveryAddress string
	TrustDomain      string
	// DrainLimit is the longest time from SIGTERM to exit, DrainMinimum the shortest for a router (if the limit allows it).
	DrainLimit, DrainMinimum time.Duration
	// Concurrency is the number of Envoy's workers, at least 1.
	Concurrency int
	// LogLevel is Envoy's.
	LogLevel string
	// ComponentLogLevel is Envoy's, for components: COMPONENT:LEVEL,...; may be empty.
	ComponentLogLevel string
	// MaxConnections bounds Envoy's downstream connections; 0 is half of the limit of file descriptors.
	MaxConnections int64
	CertificateTTL time.Duration

	EnvoyPath        string
	AdminAddress     string
	StatusAddress    string
	ReadinessAddress string
	TokenFile        string
	RootFile         string
	// StateDir is written to: Envoy's bootstrap and the SDS socket. It must be private to the proxy's user.
	StateDir string

	// Health is how the agent of a machine finds out whether the workload is healthy; nil: it does not.
	Health *health.Probe
	// Probes are the application's original probes.
	Probes probe.Set
	// AppMetrics is the URL of the application's metrics page, or empty.
	AppMetrics string
	// PassthroughSource is the source address of the agent's connections to the application; nil leaves it to the kernel.
	PassthroughSource net.IP
	// DNSPort is where the application's DNS queries arrive, at the loopback addresses; 0 turns that off.
	DNSPort uint16
	// ResolvConf is the pod's resolv.conf, whose servers answer what the mesh does not know.
	ResolvConf string
	// PrestopToken is the secret part of the drain hook's path; empty turns the hook off.
	PrestopToken string
}

// LogLevels are the levels that Envoy knows.
var LogLevels = []string{"trace", "debug", "info", "warning", "error", "critical", "off"}

// tokenForm is what may stand in a URL path without escaping and is long enough not to be guessed.
var tokenForm = regexp.MustCompile(`^[A-Za-z0-9_-]{16,128}$`)

// Validate reports the first setting that cannot work and how to change it.
func (c Config) Validate() error {
	if err := c.Pod.Validate(); err != nil {
		return err
	}
	if !slices.Contains(LogLevels, c.LogLevel) {
		return fmt.Errorf("--log-level %q is none of %v", c.LogLevel, LogLevels)
	}
	if c.Concurrency < 1 {
		return fmt.Errorf("--concurrency must be at least 1 worker")
	}
	if c.TrustDomain == "" {
		return errors.New("--trust-domain is not set")
	}
	if c.DrainLimit <= 0 || c.DrainMinimum < 0 {
		return fmt.Errorf("--drain-duration %s must be positive and --minimum-drain-duration %s not negative", c.DrainLimit, c.DrainMinimum)
	}
	if c.CertificateTTL < time.Second {
		return fmt.Errorf("--certificate-ttl %s is too short", c.CertificateTTL)
	}
	if c.PrestopToken != "" && !tokenForm.MatchString(c.PrestopToken) {
		return fmt.Errorf("PRESTOP_TOKEN must be 16 to 128 letters, digits, '-' or '_'")
	}
	return nil
}

func (c Config) socket() string        { return filepath.Join(c.StateDir, "sds.sock") }
func (c Config) bootstrapFile() string { return filepath.Join(c.StateDir, "bootstrap.json") }

// connectionLimit is MaxConnections or its default. A proxied connection needs two descriptors.
func (c Config) connectionLimit() (int64, error) {
	if c.MaxConnections > 0 {
		return c.MaxConnections, nil
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("read the limit of file descriptors: %w", err)
	}
	const ceiling = 1 << 20
	return max(int64(min(limit.Cur/2, ceiling)), 1), nil
}
