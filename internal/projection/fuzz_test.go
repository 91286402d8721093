// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshwright/meshwright/internal/ir"
)

// FuzzVirtualService: no text makes the projection panic, the same text gives the
// same row, and every row keeps what the tables rely on.
func FuzzVirtualService(f *testing.F) {
	inputs, err := filepath.Glob("testdata/virtualservice/*.in.yaml")
	if err != nil || len(inputs) == 0 {
		f.Fatalf("no inputs (%v)", err)
	}
	for _, input := range inputs {
		text, err := os.ReadFile(input)
		if err != nil {
			f.Fatal(err)
		}
		_, spec, err := object(text)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(spec))
	}
	f.Add([]byte(`{"hosts":["a"],"http":[null,{"match":[null],"route":[null,{"destination":null}]}]}`))
	meta := &metav1.ObjectMeta{Namespace: "shop", Name: "x"}
	f.Fuzz(func(t *testing.T, spec []byte) {
		row, problems, err := scope.VirtualService(meta, spec)
		again, problemsAgain, _ := scope.VirtualService(meta, spec)
		if !reflect.DeepEqual(row, again) || !reflect.DeepEqual(problems, problemsAgain) {
			t.Fatalf("two projections of %q differ", spec)
		}
		if err != nil || row == nil {
			if err == nil && len(problems) == 0 {
				t.Fatalf("%q has no row and no problem", spec)
			}
			return
		}
		for i := range row.HTTP {
			checkRule(t, &row.HTTP[i])
		}
	})
}

func checkRule(t *testing.T, r *ir.Rule) {
	t.Helper()
	actions := 0
	for _, set := range []bool{len(r.Destinations) > 0, r.Direct != nil, r.Redirect != nil, r.Delegate != nil} {
		if set {
			actions++
		}
	}
	if actions != 1 {
		t.Fatalf("%s has not exactly one of destinations, a redirect, a direct answer and a delegate", r.Origin)
	}
	for _, d := range r.Destinations {
		if d.Host == "" || d.Weight == 0 {
			t.Fatalf("%s has a destination without host or weight: %+v", r.Origin, d)
		}
	}
	if r.Timeout < 0 || (r.Retry != nil && r.Retry.Attempts > 0 && r.Retry.On == "") {
		t.Fatalf("%s has a negative timeout or retries on nothing", r.Origin)
	}
}
