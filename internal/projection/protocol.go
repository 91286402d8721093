// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/meshwright/meshwright/internal/ir"
)

// protocols is the names that a port may give to what it carries: its
// appProtocol, or its name up to the first dash. See
// https://istio.io/latest/docs/ops/configuration/traffic-management/protocol-selection/.
var protocols = map[string]ir.Protocol{
	"http":     ir.ProtocolHTTP,
	"http2":    ir.ProtocolHTTP2,
	"grpc":     ir.ProtocolGRPC,
	"grpc-web": ir.ProtocolGRPCWeb,
	"https":    ir.ProtocolHTTPS,
	"tls":      ir.ProtocolTLS,
	"tcp":      ir.ProtocolTCP,
	"udp":      ir.ProtocolUDP,
}

// byteProtocols is further names of what is carried as bytes: protocols that are not
// HTTP, of which nothing would be gained by looking at them.
var byteProtocols = []string{
	"amqp", "cassandra", "cql", "ftp", "imap", "kafka", "ldap", "memcached", "mongo", "mongodb", "mqtt", "mysql", "nats",
	"pop3", "postgres", "postgresql", "redis", "smtp", "ssh", "zookeeper",
}

// serverFirst is ports on which the server speaks first. Waiting for a client's
// first bytes would only cost time there.
var serverFirst = []uint16{25, 53, 3306, 27017}

// standardProtocols is the prefixed values that Kubernetes defines for appProtocol:
// https://kubernetes.io/docs/concepts/services-networking/service/#application-protocol.
var standardProtocols = map[string]ir.Protocol{
	"kubernetes.io/h2c": ir.ProtocolHTTP2,
	"kubernetes.io/ws":  ir.ProtocolHTTP,
	"kubernetes.io/wss": ir.ProtocolHTTPS,
}

// protocolOf says what a port carries. Of a port that says nothing that is known it
// is found out from each connection.
func protocolOf(transport corev1.Protocol, app *string, name string, number uint16) ir.Protocol {
	if transport != "" && transport != corev1.ProtocolTCP {
		return ir.ProtocolUDP // SCTP as well: the proxies carry TCP only
	}
	if app != nil && *app != "" {
		if p, ok := standardProtocols[strings.ToLower(*app)]; ok {
			return p
		}
		name = *app
	}
	name = strings.ToLower(name)
	if name == "grpc-web" || strings.HasPrefix(name, "grpc-web-") {
		return ir.ProtocolGRPCWeb
	}
	prefix, _, _ := strings.Cut(name, "-")
	if p, ok := protocols[prefix]; ok {
		return p
	}
	if slices.Contains(byteProtocols, prefix) || slices.Contains(serverFirst, number) {
		return ir.ProtocolTCP
	}
	return ir.ProtocolAuto
}
