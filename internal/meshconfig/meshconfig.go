// SPDX-License-Identifier: Apache-2.0

// Package meshconfig reads the mesh-wide configuration, a YAML file that is a subset of Istio's MeshConfig
// (https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/).
package meshconfig

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/meshwright/meshwright/internal/proxyconfig"
)

// Modes of OutboundTrafficPolicy: what happens to traffic for hosts that the mesh does not know.
const (
	AllowAny     = "ALLOW_ANY"
	RegistryOnly = "REGISTRY_ONLY"

	// AllowAnyDynamicDNS is AllowAny, but requests go to where the name that they are for leads.
	AllowAnyDynamicDNS = "ALLOW_ANY_DYNAMIC_DNS"
)

// Scopes of discovery.
const (
	OnDemand = "on-demand"
	Full     = "full"
)

// maxBytes bounds the file; a ConfigMap holds at most 1 MiB.
const maxBytes = 1 << 20

// Config is the mesh's configuration with defaults filled in. Fields that are not served are refused by Parse.
type Config struct {
	// TrustDomain is the first part of every workload's identity; default cluster.local.
	TrustDomain string `json:"trustDomain,omitempty"`
	// OutboundTrafficPolicy decides about unknown hosts.
	OutboundTrafficPolicy OutboundTrafficPolicy `json:"outboundTrafficPolicy,omitzero"`
	// AccessLogFile is where proxies write access logs: empty (none) or /dev/stdout.
	AccessLogFile string `json:"accessLogFile,omitempty"`
	// PathNormalization is what proxies make of the path of a request before they compare it.
	PathNormalization PathNormalization `json:"pathNormalization,omitzero"`
	// DefaultConfig is what holds for injected proxies where nobody says otherwise.
	DefaultConfig DefaultConfig `json:"defaultConfig,omitzero"`
	// DiscoveryScope is on-demand (default: sidecars hold what their workloads use) or full (everything).
	DiscoveryScope string `json:"discoveryScope,omitempty"`
	// ProtocolDetectionTimeout is for how long a client's first bytes are waited for on ports that do not say what
	// they carry, at most MaxDetection. 0s carries all such ports as bytes.
	ProtocolDetectionTimeout metav1.Duration `json:"protocolDetectionTimeout,omitzero"`
	Ingress                  `json:",inline"`
	Clients                  `json:",inline"`
}

// DefaultDetection is long enough for a client that is stopped for its share of CPU, and what a server that speaks
// first pays for each connection until its port has a name.
const DefaultDetection = 200 * time.Millisecond

// MaxDetection bounds what a connection to a server that speaks first can be held up.
const MaxDetection = 10 * time.Second

// DefaultConfig is a ProxyConfig as package proxyconfig reads it.
type DefaultConfig struct {
	proxyconfig.Settings
	problem error
}

// UnmarshalJSON implements json.Unmarshaler. What is wrong is kept for Parse to report.
func (d *DefaultConfig) UnmarshalJSON(text []byte) error {
	settings, ignored, err := proxyconfig.Parse(text)
	if err == nil && len(ignored) > 0 {
		err = fmt.Errorf("%s; the fields that are served: %s", strings.Join(ignored, "; "), strings.Join(proxyconfig.Fields(), ", "))
	}
	d.Settings, d.problem = settings, err
	return nil
}

// OutboundTrafficPolicy has the mode AllowAny (default), AllowAnyDynamicDNS or RegistryOnly.
type OutboundTrafficPolicy struct {
	Mode string `json:"mode,omitempty"`

	// TLS is Istio's, for unknown hosts that are found by DNS; it is refused.
	TLS json.RawMessage `json:"tls,omitempty"`
}

func (p OutboundTrafficPolicy) check() []error {
	errs := oneOf("outboundTrafficPolicy.mode", p.Mode, AllowAny, AllowAnyDynamicDNS, RegistryOnly)
	if p.TLS != nil {
		errs = append(errs, errors.New("outboundTrafficPolicy.tls: is not served: it would let sidecars begin TLS to hosts of which nobody says that they take it;"+
			" name those by a ServiceEntry with resolution DYNAMIC_DNS, which takes patterns, and give it a DestinationRule with tls"))
	}
	return errs
}

// Default is the configuration of an empty file.
func Default() Config {
	return Config{
		TrustDomain: "cluster.local", OutboundTrafficPolicy: OutboundTrafficPolicy{Mode: AllowAny}, DiscoveryScope: OnDemand,
		ProtocolDetectionTimeout: metav1.Duration{Duration: DefaultDetection}, Ingress: defaultIngress(),
	}
}

// Parse reads YAML. It reports every wrong field at once, with its path.
func Parse(data []byte) (Config, error) {
	if len(data) > maxBytes {
		return Config{}, fmt.Errorf("mesh configuration is larger than %d bytes", maxBytes)
	}
	config := Default()
	if err := yaml.UnmarshalStrict(data, &config); err != nil {
		return Config{}, fmt.Errorf("mesh configuration: %w", err)
	}
	errs := config.PathNormalization.check("pathNormalization")
	if problems := validation.IsDNS1123Subdomain(config.TrustDomain); len(problems) > 0 {
		errs = append(errs, fmt.Errorf("trustDomain: %q: %s", config.TrustDomain, strings.Join(problems, "; ")))
	}
	errs = append(errs, config.OutboundTrafficPolicy.check()...)
	if f := config.AccessLogFile; f != "" && f != "/dev/stdout" {
		errs = append(errs, fmt.Errorf("accessLogFile: %q is neither empty nor /dev/stdout", f))
	}
	if err := config.DefaultConfig.problem; err != nil {
		errs = append(errs, fmt.Errorf("defaultConfig: %w", err))
	}
	if s := config.DiscoveryScope; s != OnDemand && s != Full {
		errs = append(errs, fmt.Errorf("discoveryScope: %q is neither %s nor %s", s, OnDemand, Full))
	}
	errs = append(errs, oneOf("h2UpgradePolicy", config.H2UpgradePolicy, H2Upgrade, H2DoNotUpgrade)...)
	if d := config.ProtocolDetectionTimeout.Duration; d < 0 || d > MaxDetection {
		errs = append(errs, fmt.Errorf("protocolDetectionTimeout: %s is not between 0s, which switches detection off, and %s", d, MaxDetection))
	}
	return config, errors.Join(append(errs, config.Ingress.check()...)...)
}

// Load reads the file; one that does not exist counts as empty.
func Load(path string) (Config, error) {
	data, err := read(path)
	if err != nil {
		return Config{}, err
	}
	return Parse(data)
}

func read(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the mesh configuration: %w", err)
	}
	return data, nil
}
