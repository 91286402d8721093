// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	in := Report{Version: "v1", Revision: "default", XDS: AnswerOf(nil), Proxies: Proxies{3, 2, 1, 1}, Webhooks: AnswerOf(errors.New("closed"))}
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"version":"v1","revision":"default","xds":{"answers":true},"proxies":{"connected":3,"synced":2,"rejecting":1,"lagging":1},"webhooks":{"answers":false,"error":"closed"}}`
	if string(text) != want {
		t.Errorf("got %s", text)
	}
	if out, err := Read(strings.NewReader(want)); err != nil || out != in {
		t.Errorf("read %+v, %v", out, err)
	}
	for _, bad := range []string{"", "{", "{}", "404 page not found", want + strings.Repeat(" ", maxBytes)} {
		if out, err := Read(strings.NewReader(bad)); err == nil {
			t.Errorf("%.40q became %+v", bad, out)
		}
	}
	if got := AnswerOf(errors.New(strings.Repeat("x", 1000))); len(got.Error) != maxError {
		t.Errorf("an error of %d bytes is told", len(got.Error))
	}
}
