// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/meshwright/meshwright/internal/report"
)

// statusPause is how long a report is given again as it is: everybody who reaches the port may ask.
const statusPause = time.Second

// status answers with what a replica says of itself.
type status struct {
	make func() report.Report

	mu   sync.Mutex
	text []byte
	at   time.Time
}

func (s *status) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, "method "+r.Method+" is not GET", http.StatusMethodNotAllowed)
		return
	}
	text, err := s.current(time.Now())
	if err != nil {
		http.Error(w, "encode the report", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(text)
}

func (s *status) current(now time.Time) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.text != nil && now.Sub(s.at) < statusPause {
		return s.text, nil
	}
	text, err := json.Marshal(s.make())
	if err != nil {
		return nil, err
	}
	s.text, s.at = text, now
	return text, nil
}
