// SPDX-License-Identifier: Apache-2.0

package capture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
)

// maxAttempts bounds the read-apply-verify loop. A second attempt is needed only when another process changed the same
// rules in between.
const maxAttempts = 3

// lockSeconds is how long the legacy tools wait for the lock that other iptables processes hold.
const lockSeconds = "30"

// backends are the tool families in order of preference: the distribution's default, then the one for kernels that know
// only the older interface.
var backends = []string{"", "-legacy"}

// runner executes one tool with an input and returns its output. Tests replace it.
type runner func(ctx context.Context, stdin string, name string, args ...string) (string, error)

// Result says what Apply did for one IP family.
type Result struct {
	Family string
	// Changed is false when the rules already were as wanted.
	Changed bool
	// Rules are the wanted rules as an iptables-restore transaction against the state that was found.
	Rules string
}

// Options of Apply.
type Options struct {
	// DryRun renders without reading or changing the kernel's rules.
	DryRun bool
	// IPv6 says whether the pod has IPv6: see IPv6Address.
	IPv6 bool
}

// Apply makes the kernel's rules of the current network namespace what config wants, one transaction per table, and reads
// them back. It needs CAP_NET_ADMIN and CAP_NET_RAW. Running it again changes nothing.
func Apply(ctx context.Context, config Config, options Options) ([]Result, error) {
	return apply(ctx, config, options, execute)
}

func apply(ctx context.Context, config Config, options Options, run runner) ([]Result, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	var results []Result
	for _, f := range families {
		if !f.is4 && !options.IPv6 {
			continue
		}
		nat, raw := build(f, config)
		if options.DryRun {
			rules := table{}.transaction(nat)
			if raw.jumps != nil {
				rules = table{}.transaction(raw) + rules
			}
			results = append(results, Result{Family: f.name, Rules: rules})
			continue
		}
		if !f.is4 {
			if err := addPassthroughIPv6(); err != nil {
				return results, err
			}
		}
		result := Result{Family: f.name}
		// The zones come first: without the rules of table nat they change nothing.
		for _, wanted := range []ruleset{raw, nat} {
			if err := converge(ctx, f, wanted, run, &result); err != nil {
				return results, fmt.Errorf("capture %s traffic: %w", f.name, err)
			}
		}
		results = append(results, result)
	}
	return results, nil
}

// converge makes one table what is wanted and adds what it wrote to the result.
func converge(ctx context.Context, f family, wanted ruleset, run runner, result *Result) error {
	before := result.Rules
	for range maxAttempts {
		backend, current, err := read(ctx, f, wanted.table, run)
		if err != nil && wanted.jumps == nil {
			return nil // A kernel that has no such table has no rules of ours in it.
		}
		if err != nil {
			return err
		}
		if current.holds(wanted) {
			return nil
		}
		rules := current.transaction(wanted)
		result.Changed, result.Rules = true, before+rules
		tool := f.tool(backend, "restore")
		if _, err := run(ctx, rules, tool, "--noflush", "-w", lockSeconds); err != nil {
			return fmt.Errorf("%s refused the rules: %w", tool, err)
		}
	}
	_, current, err := read(ctx, f, wanted.table, run)
	if err != nil {
		return err
	}
	if !current.holds(wanted) {
		return fmt.Errorf("rules differ from what was written: does another process change table %s of this pod?", wanted.table)
	}
	return nil
}

// read returns the first backend that works together with what it shows.
func read(ctx context.Context, f family, name string, run runner) (backend string, current table, err error) {
	var errs []error
	for _, backend := range backends {
		tool := f.tool(backend, "save")
		out, err := run(ctx, "", tool, "-t", name)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", tool, err))
			continue
		}
		current, err := parse(name, strings.NewReader(out))
		if err != nil {
			return "", table{}, fmt.Errorf("%s: %w", tool, err)
		}
		return backend, current, nil
	}
	return "", table{}, fmt.Errorf("cannot read table %s (needs root with NET_ADMIN and NET_RAW, and a kernel with that table): %w", name, errors.Join(errs...))
}

func (f family) tool(backend, verb string) string {
	if f.is4 {
		return "iptables" + backend + "-" + verb
	}
	return "ip6tables" + backend + "-" + verb
}

func execute(ctx context.Context, stdin, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &limited{w: &stderr, left: 4 << 10}
	if err := cmd.Run(); err != nil {
		if text := strings.TrimSpace(stderr.String()); text != "" {
			return "", fmt.Errorf("%w: %s", err, text)
		}
		return "", err
	}
	return stdout.String(), nil
}

// limited keeps the first bytes and swallows the rest, so that a chatty tool cannot fill the log.
type limited struct {
	w    io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	keep := min(len(p), l.left)
	l.left -= keep
	if _, err := l.w.Write(p[:keep]); err != nil {
		return 0, err
	}
	return len(p), nil
}

// IPv6Address is an IPv6 address of this network namespace that others can reach it by; ok is false when it has none.
// Link-local addresses exist on every interface of a kernel with IPv6 and say nothing about the pod.
func IPv6Address() (addr netip.Addr, ok bool, err error) {
	return findIPv6(func(a netip.Addr) bool { return a.IsGlobalUnicast() && a != passthroughIPv6 })
}

// HasPassthroughIPv6 reports whether connections can be made from PassthroughIPv6, which is so where IPv6 is captured.
func HasPassthroughIPv6() (bool, error) {
	_, ok, err := findIPv6(func(a netip.Addr) bool { return a == passthroughIPv6 })
	return ok, err
}

var passthroughIPv6 = netip.MustParseAddr(PassthroughIPv6)

func findIPv6(fits func(netip.Addr) bool) (netip.Addr, bool, error) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return netip.Addr{}, false, fmt.Errorf("list the pod's addresses: %w", err)
	}
	for _, address := range addresses {
		if block, ok := address.(*net.IPNet); ok {
			if addr, ok := netip.AddrFromSlice(block.IP); ok && addr.Unmap().Is6() && fits(addr) {
				return addr, true, nil
			}
		}
	}
	return netip.Addr{}, false, nil
}

// addPassthroughIPv6 puts the passthrough address on lo. IPv4 needs no such step: all of 127.0.0.0/8 is local.
func addPassthroughIPv6() error {
	link, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find interface lo: %w", err)
	}
	address, err := netlink.ParseAddr(PassthroughIPv6 + "/128")
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(link, address); err != nil && !errors.Is(err, syscall.EEXIST) {
		return fmt.Errorf("add %s to lo: %w", PassthroughIPv6, err)
	}
	return nil
}
