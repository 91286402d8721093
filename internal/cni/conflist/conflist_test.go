// SPDX-License-Identifier: Apache-2.0

package conflist_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meshwright/meshwright/internal/cni/conflist"
)

var ours = conflist.Plugin{Socket: "/run/x.sock", ExcludeNamespaces: []string{"kube-system"}}

const entry = `{"type":"meshwright-cni","socket":"/run/x.sock","excludeNamespaces":["kube-system"]}`

func TestInsert(t *testing.T) {
	for name, c := range map[string]struct{ config, want string }{
		"a list": {
			`{"cniVersion":"1.0.0","name":"pods","plugins":[{"type":"bridge","mtu":1450},{"type":"portmap"}],"disableCheck":true}`,
			`{"cniVersion":"1.0.0","name":"pods","plugins":[{"type":"bridge","mtu":1450},{"type":"portmap"},` + entry + `],"disableCheck":true}`,
		},
		"an older one of ours, in between": {
			`{"name":"pods","plugins":[{"type":"bridge"},{"type":"meshwright-cni","socket":"/old"},{"type":"portmap"}]}`,
			`{"name":"pods","plugins":[{"type":"bridge"},{"type":"portmap"},` + entry + `]}`,
		},
		"a single plugin": {
			`{"cniVersion":"0.4.0","name":"pods","type":"calico","ipam":{"type":"calico-ipam"}}`,
			`{"cniVersion":"0.4.0","name":"pods","plugins":[{"type":"calico","ipam":{"type":"calico-ipam"}},` + entry + `]}`,
		},
		"large numbers and signs": {
			`{"name":"<a&b>","plugins":[{"type":"x","big":12345678901234567890,"rate":1e3}]}`,
			`{"name":"<a&b>","plugins":[{"type":"x","big":12345678901234567890,"rate":1e3},` + entry + `]}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := conflist.Insert([]byte(c.config), ours)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(plain(t, []byte(c.want)), plain(t, got)); diff != "" {
				t.Errorf("differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestInsertRefuses(t *testing.T) {
	for _, config := range []string{"", "null", "[]", "{}", "{", `{"plugins":[]}`, `{"plugins":[{"type":"meshwright-cni"}]}`, `{"name":"x"}`, `{"type":"a"} {}`} {
		if got, err := conflist.Insert([]byte(config), ours); err == nil {
			t.Errorf("%q becomes %s", config, got)
		}
		if conflist.Usable([]byte(config)) {
			t.Errorf("%q is said to give pods a network", config)
		}
	}
}

func TestAlone(t *testing.T) {
	got, err := conflist.Alone(ours)
	if err != nil {
		t.Fatal(err)
	}
	var config struct{ CNIVersion, Name, Type, Socket string }
	if err := json.Unmarshal(got, &config); err != nil || config.Name != conflist.Type || config.Type != conflist.Type || config.CNIVersion == "" || config.Socket != ours.Socket {
		t.Errorf("got %s, %v", got, err)
	}
}

// FuzzInsert: inserting again changes nothing, and removing gives back a list
// that says what the first said.
func FuzzInsert(f *testing.F) {
	f.Add([]byte(`{"cniVersion":"1.0.0","name":"pods","plugins":[{"type":"bridge"}]}`))
	f.Add([]byte(`{"name":"pods","type":"calico","k":[1,{"a":null}]}`))
	f.Add([]byte(`{"plugins":[{"type":"meshwright-cni"},1]}`))
	f.Fuzz(func(t *testing.T, config []byte) {
		once, err := conflist.Insert(config, ours)
		if err != nil {
			return
		}
		if !conflist.Usable(config) {
			t.Fatalf("%s is taken and not usable", config)
		}
		twice, err := conflist.Insert(once, ours)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(once, twice) {
			t.Fatalf("inserting again changes\n%s to\n%s", once, twice)
		}
		removed, found, err := conflist.Remove(once)
		if err != nil || !found {
			t.Fatalf("not found in %s: %v", once, err)
		}
		again, err := conflist.Insert(removed, ours)
		if err != nil || !bytes.Equal(again, once) {
			t.Fatalf("removed and inserted: %v\n%s\nwant\n%s", err, again, once)
		}
		if before, listed := plain(t, config).(map[string]any)["plugins"]; listed && !bytes.Contains(config, []byte(conflist.Type)) {
			if diff := cmp.Diff(before, plain(t, removed).(map[string]any)["plugins"]); diff != "" {
				t.Fatalf("removing does not give back what was there:\n%s", diff)
			}
		}
	})
}

func plain(t *testing.T, text []byte) any {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var out any
	if err := decoder.Decode(&out); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return out
}
