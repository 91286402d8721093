// SPDX-License-Identifier: Apache-2.0

// Package resolvconf reads what the resolver of a pod goes by: resolv.conf(5).
package resolvconf

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
)

// Path is where every container of a pod finds it.
const Path = "/etc/resolv.conf"

const (
	// maxBytes bounds the file.
	maxBytes = 64 << 10
	// maxServers is what the C libraries look at.
	maxServers = 3
	// maxSearch is what Kubernetes allows a pod.
	maxSearch = 32
)

// Config is the part that a forwarder needs.
type Config struct {
	// Servers in the order in which they are asked.
	Servers []netip.Addr
	// Search domains in order, lower case, without a dot at the end.
	Search []string
}

// Read reads the file.
func Read(path string) (Config, error) {
	file, err := os.Open(path)
	if err != nil {
		return Config{}, fmt.Errorf("read the pod's name servers: %w", err)
	}
	defer file.Close()
	c, err := Parse(file)
	if err != nil {
		return Config{}, fmt.Errorf("read the pod's name servers from %s: %w", path, err)
	}
	return c, nil
}

// Parse reads the text. Lines that it does not know, and addresses that are none, are skipped, as resolvers do.
func Parse(r io.Reader) (Config, error) {
	var c Config
	lines := bufio.NewScanner(io.LimitReader(r, maxBytes))
	lines.Buffer(nil, maxBytes)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "nameserver":
			if addr, err := netip.ParseAddr(words[1]); err == nil && len(c.Servers) < maxServers {
				c.Servers = append(c.Servers, addr.Unmap())
			}
		case "domain":
			c.Search = domains(words[1:2])
		case "search":
			c.Search = domains(words[1:])
		}
	}
	return c, lines.Err()
}

func domains(words []string) []string {
	var out []string
	for _, word := range words {
		if word = strings.ToLower(strings.TrimSuffix(word, ".")); word != "" && len(out) < maxSearch {
			out = append(out, word)
		}
	}
	return out
}
