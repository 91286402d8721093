// SPDX-License-Identifier: Apache-2.0

package binary

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/meshwright/meshwright/test/cluster/host"
)

// buildSpace is the free space that building Kubernetes needs at most, with
// the compiler's own cache.
const buildSpace = 6 << 30

// Cache is a directory of programs, shared by every checkout of one user.
type Cache struct {
	// Dir is the cache's directory.
	Dir string
	// Source is the directory test/cluster of the repository.
	Source string
	// Out gets a line for each step that takes time.
	Out io.Writer

	parts []Part
}

// Open returns the cache of the current user: $MESHWRIGHT_CACHE when set, else
// meshwright in the user's cache directory (~/.cache).
func Open(source string, out io.Writer) (*Cache, error) {
	parts, err := Parts(source)
	if err != nil {
		return nil, err
	}
	dir := os.Getenv("MESHWRIGHT_CACHE")
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("find the cache directory (set MESHWRIGHT_CACHE): %w", err)
		}
		dir = filepath.Join(base, "meshwright")
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("find the cache directory: %w", err)
	}
	return &Cache{Dir: dir, Source: source, Out: out, parts: parts}, nil
}

// Path is the path of one program; it may not exist before Ensure.
func (c *Cache) Path(program string) string {
	for _, p := range c.parts {
		for _, name := range p.Programs {
			if name == program {
				return filepath.Join(c.dir(p), name)
			}
		}
	}
	return ""
}

// Version is the version of the named part, empty when there is no such part.
func (c *Cache) Version(part string) string {
	for _, p := range c.parts {
		if p.Name == part {
			return p.Version
		}
	}
	return ""
}

// Ensure makes the named parts (all when none is named) present and current.
// Two runs at once do not disturb each other: one builds, the other waits.
func (c *Cache) Ensure(ctx context.Context, names ...string) error {
	var missing []Part
	for _, p := range c.selected(names) {
		current, err := c.current(p)
		if err != nil {
			return err
		}
		if !current {
			missing = append(missing, p)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if err := os.MkdirAll(filepath.Join(c.Dir, "bin"), 0o755); err != nil {
		return fmt.Errorf("make the cache directory: %w", err)
	}
	unlock, err := host.Lock(ctx, filepath.Join(c.Dir, "lock"), func() {
		fmt.Fprintln(c.Out, "another run is filling the cache", c.Dir, "- waiting for it")
	})
	if err != nil {
		return err
	}
	defer unlock()
	for _, p := range missing {
		if err := c.make(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cache) selected(names []string) []Part {
	if len(names) == 0 {
		return c.parts
	}
	var out []Part
	for _, p := range c.parts {
		for _, n := range names {
			if p.Name == n {
				out = append(out, p)
			}
		}
	}
	return out
}

func (c *Cache) dir(p Part) string { return filepath.Join(c.Dir, "bin", p.directory()) }

// current says whether the part's programs are there and made from what the
// repository says now.
func (c *Cache) current(p Part) (bool, error) {
	want, err := p.stamp(c.Source)
	if err != nil {
		return false, err
	}
	have, err := os.ReadFile(filepath.Join(c.dir(p), ".stamp"))
	if err != nil || strings.TrimSpace(string(have)) != want {
		return false, nil
	}
	for _, name := range p.Programs {
		if info, err := os.Stat(filepath.Join(c.dir(p), name)); err != nil || info.Size() == 0 {
			return false, nil
		}
	}
	return true, nil
}

// make builds or fetches one part into a fresh directory and then puts the
// files in place one rename at a time, so that a reader (or a running program)
// never meets half a file.
func (c *Cache) make(ctx context.Context, p Part) error {
	// Another run may have made it while this one waited for the lock.
	if current, err := c.current(p); err != nil || current {
		return err
	}
	if p.Name == "kubernetes" {
		if err := host.CheckSpace(c.Dir, buildSpace); err != nil {
			return err
		}
	}
	stamp, err := p.stamp(c.Source)
	if err != nil {
		return err
	}
	dir := c.dir(p)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the directory of %s: %w", p.Name, err)
	}
	work, err := os.MkdirTemp(dir, ".new-")
	if err != nil {
		return fmt.Errorf("make a directory to build %s in: %w", p.Name, err)
	}
	defer os.RemoveAll(work)

	started := time.Now()
	if err := c.build(ctx, p, work); err != nil {
		return noSpace(err, c.Dir)
	}
	for _, name := range p.Programs {
		if err := os.Rename(filepath.Join(work, name), filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("put %s in place: %w", name, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, ".stamp"), []byte(stamp+"\n"), 0o644); err != nil {
		return noSpace(fmt.Errorf("write the stamp of %s: %w", p.Name, err), c.Dir)
	}
	fmt.Fprintf(c.Out, "%s %s: ready after %s\n", p.Name, p.Version, time.Since(started).Round(time.Second))
	return nil
}

// noSpace turns a failure on a full disk into the line that names the remedy;
// the compiler says it in words, not as an error value.
func noSpace(err error, dir string) error {
	if err == nil || !strings.Contains(err.Error(), syscall.ENOSPC.Error()) {
		return err
	}
	return fmt.Errorf("the disk that holds %s or the compiler's cache is full: free %d GiB, or set MESHWRIGHT_CACHE and GOCACHE to a larger disk",
		dir, buildSpace>>30)
}
