// SPDX-License-Identifier: Apache-2.0

package redirect

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/spf13/pflag"
	"github.com/vishvananda/netlink"
)

// marked is the interface whose alias is the mark: every network namespace has
// it, everybody in it can read the alias, and only who may change the network
// can write it.
const marked = "lo"

// mark is the alias of a network namespace in which the rules of these flags are.
func (f *Flags) mark() string {
	digest := sha256.New()
	f.set.VisitAll(func(flag *pflag.Flag) { fmt.Fprintf(digest, "%s=%s\n", flag.Name, flag.Value) })
	return "meshwright:" + hex.EncodeToString(digest.Sum(nil)[:16])
}

// Mark says in the network namespace of this thread that the rules are written.
// It needs CAP_NET_ADMIN.
func (f *Flags) Mark() error {
	link, err := netlink.LinkByName(marked)
	if err != nil {
		return fmt.Errorf("find interface %s: %w", marked, err)
	}
	if err := netlink.LinkSetAlias(link, f.mark()); err != nil {
		return fmt.Errorf("mark interface %s: %w", marked, err)
	}
	return nil
}

// Marked tells whether the rules of these very flags were written into the
// network namespace of this thread. It needs no right.
func (f *Flags) Marked() (bool, error) {
	link, err := netlink.LinkByName(marked)
	if err != nil {
		return false, fmt.Errorf("find interface %s: %w", marked, err)
	}
	return link.Attrs().Alias == f.mark(), nil
}
