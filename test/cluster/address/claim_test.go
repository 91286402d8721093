// SPDX-License-Identifier: Apache-2.0

package address

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func nothingTaken() ([]netip.Prefix, error) { return nil, nil }

func claim(t *testing.T, r Registry, state string, prefer *Plan) Claim {
	t.Helper()
	c, err := r.Claim(context.Background(), Claim{Name: filepath.Base(state), State: state}, prefer, nothingTaken)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestClaimsAreKeptAndGivenBack(t *testing.T) {
	r := Registry{Dir: filepath.Join(t.TempDir(), "clusters"), Boot: "b1"}
	east, west := claim(t, r, "/s/east", nil), claim(t, r, "/s/west", nil)
	if east.Index == west.Index {
		t.Fatalf("two clusters have the number %d", east.Index)
	}
	if again := claim(t, r, "/s/east", nil); again != east {
		t.Errorf("the second claim of one cluster is %+v, want %+v", again, east)
	}
	last := 0
	release := func(c Claim) {
		t.Helper()
		if err := r.Release(context.Background(), c, func() error { last++; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	release(east)
	if last != 0 {
		t.Error("what clusters share was removed while one was left")
	}
	if _, found, err := r.Find("/s/east"); found || err != nil {
		t.Errorf("a released claim is found (%v, %v)", found, err)
	}
	release(west)
	release(west)
	if last != 2 {
		t.Errorf("the last release was reported %d times, want once for each call", last)
	}
}

func TestClaimsOfAnotherBootDoNotCount(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "clusters")
	claim(t, Registry{Dir: dir, Boot: "old"}, "/s/gone", nil)
	now := Registry{Dir: dir, Boot: "new"}
	if list, err := now.List(); len(list) != 0 || err != nil {
		t.Fatalf("claims of another boot are listed: %v, %v", list, err)
	}
	if c := claim(t, now, "/s/east", nil); c.Index != 1 {
		t.Errorf("number %d, want 1: nothing of another boot exists", c.Index)
	}
}

func TestClaimsAtOnceDiffer(t *testing.T) {
	r := Registry{Dir: filepath.Join(t.TempDir(), "clusters"), Boot: "b1"}
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			state := "/s/" + string(rune('a'+i))
			if _, err := r.Claim(context.Background(), Claim{Name: "x", State: state}, nil, nothingTaken); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	list, err := r.List()
	if err != nil || len(list) != 8 {
		t.Fatalf("%d claims, %v, want 8", len(list), err)
	}
}

func TestDamagedClaimIsNamed(t *testing.T) {
	r := Registry{Dir: t.TempDir(), Boot: "b1"}
	file := filepath.Join(r.Dir, "3.json")
	if err := os.WriteFile(file, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := r.List(); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v, want an error that names %s", err, file)
	}
}
