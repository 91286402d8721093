// SPDX-License-Identifier: Apache-2.0

//go:build integration

package controlplane_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/meshwright/meshwright/internal/report"
)

// TestReport: a replica that is ready has seen its own streams and reviews answered, and says so to whoever asks.
func TestReport(t *testing.T) {
	r := start(t)
	eventually(t, "a report", func() error {
		code, text, err := r.get(t, "https://"+r.webhook+report.Path, "")
		if err != nil || code != http.StatusOK {
			return fmt.Errorf("%d %s %w", code, text, err)
		}
		got, err := report.Read(strings.NewReader(text))
		if err != nil {
			return err
		}
		got.Version = ""
		if want := (report.Report{Revision: "default", XDS: report.Answer{Answers: true}, Webhooks: report.Answer{Answers: true}}); got != want {
			return fmt.Errorf("got %+v, want %+v", got, want)
		}
		return nil
	})
	code, text, err := r.get(t, "https://"+r.webhook+"/readyz?verbose", "")
	if err != nil || code != http.StatusOK || !strings.Contains(text, "[+] discovery-self-check: ok") || !strings.Contains(text, "[+] webhook-self-check: ok") {
		t.Errorf("%d %s %v", code, text, err)
	}
}
