// SPDX-License-Identifier: Apache-2.0

package meshconfig

import (
	"encoding/json"
	"fmt"
)

// Policies of H2UpgradePolicy.
const (
	H2Upgrade      = "UPGRADE"
	H2DoNotUpgrade = "DO_NOT_UPGRADE"
)

// Clients is what holds for objects that do not say it themselves. Values are checked
// where those of objects are, by package projection.
type Clients struct {
	Objects `json:",inline"`
	// DefaultRetryBudget bounds retries where no DestinationRule does.
	DefaultRetryBudget *RetryBudget `json:"defaultRetryBudget,omitempty"`
}

// Objects is the part of Clients that Istio's MeshConfig has, too.
type Objects struct {
	// DefaultHTTPRetryPolicy is for rules that say nothing of retries; attempts 0 makes none.
	DefaultHTTPRetryPolicy *RetryPolicy `json:"defaultHttpRetryPolicy,omitempty"`
	// ConnectTimeout is for how long a connection may take to be made; default 10s.
	ConnectTimeout string `json:"connectTimeout,omitempty"`
	// TCPKeepalive probes connections that are idle; default none.
	TCPKeepalive *Keepalive `json:"tcpKeepalive,omitempty"`
	// H2UpgradePolicy H2Upgrade speaks HTTP/2 to servers of the mesh on ports that declare HTTP.
	H2UpgradePolicy string `json:"h2UpgradePolicy,omitempty"`
	// LocalityLBSetting is which places clients prefer, of hosts with outlier detection.
	LocalityLBSetting *LocalityLBSetting `json:"localityLbSetting,omitempty"`
	// ZoneAwareLBSetting has clients balance by zones, of all hosts.
	ZoneAwareLBSetting *ZoneAwareLBSetting `json:"zoneAwareLbSetting,omitempty"`
	// DefaultServiceExportTo is who sees Services and ServiceEntries; default everybody.
	DefaultServiceExportTo []string `json:"defaultServiceExportTo,omitempty"`
	// DefaultVirtualServiceExportTo is who sees VirtualServices.
	DefaultVirtualServiceExportTo []string `json:"defaultVirtualServiceExportTo,omitempty"`
	// DefaultDestinationRuleExportTo is who sees DestinationRules.
	DefaultDestinationRuleExportTo []string `json:"defaultDestinationRuleExportTo,omitempty"`
}

// RetryPolicy is the retries of a VirtualService, but for perTryTimeout.
type RetryPolicy struct {
	Attempts                 int32  `json:"attempts,omitempty"`
	RetryOn                  string `json:"retryOn,omitempty"`
	RetryRemoteLocalities    *bool  `json:"retryRemoteLocalities,omitempty"`
	RetryIgnorePreviousHosts *bool  `json:"retryIgnorePreviousHosts,omitempty"`
	Backoff                  string `json:"backoff,omitempty"`
}

// RetryBudget is that of a DestinationRule.
type RetryBudget struct {
	Percent             *float64 `json:"percent,omitempty"`
	MinRetryConcurrency uint32   `json:"minRetryConcurrency,omitempty"`
	BudgetInterval      string   `json:"budgetInterval,omitempty"`
}

// Keepalive is that of a DestinationRule.
type Keepalive struct {
	Probes   uint32 `json:"probes,omitempty"`
	Time     string `json:"time,omitempty"`
	Interval string `json:"interval,omitempty"`
}

// LocalityLBSetting is that of a DestinationRule.
type LocalityLBSetting struct {
	Enabled          *bool        `json:"enabled,omitempty"`
	Distribute       []Distribute `json:"distribute,omitempty"`
	Failover         []Failover   `json:"failover,omitempty"`
	FailoverPriority []string     `json:"failoverPriority,omitempty"`
}

// Distribute shares out the requests of some places.
type Distribute struct {
	From string            `json:"from,omitempty"`
	To   map[string]uint32 `json:"to,omitempty"`
}

// Failover is the region that takes over from another one.
type Failover struct {
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}

// ZoneAwareLBSetting is that of a DestinationRule.
type ZoneAwareLBSetting struct {
	Enabled          *bool      `json:"enabled,omitempty"`
	Failover         []Failover `json:"failover,omitempty"`
	FailoverPriority []string   `json:"failoverPriority,omitempty"`
	MinClusterSize   *uint32    `json:"minClusterSize,omitempty"`
}

// JSON is the settings in the words of Istio's MeshConfig, and the retry budget in
// those of a DestinationRule; nil without one.
func (c *Clients) JSON() (objects, retryBudget []byte, err error) {
	if objects, err = json.Marshal(c.Objects); err != nil {
		return nil, nil, fmt.Errorf("encode the mesh configuration: %w", err)
	}
	if c.DefaultRetryBudget == nil {
		return objects, nil, nil
	}
	if retryBudget, err = json.Marshal(c.DefaultRetryBudget); err != nil {
		return nil, nil, fmt.Errorf("encode defaultRetryBudget: %w", err)
	}
	return objects, retryBudget, nil
}
