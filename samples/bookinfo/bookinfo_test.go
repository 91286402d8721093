// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func server(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv
}

// shopWith starts the whole shop with one version of reviews and returns the
// page's URL. wrapReviews sees every request to reviews first.
func shopWith(t *testing.T, version string, wrapReviews func(http.Handler) http.Handler) string {
	t.Helper()
	stars := server(t, ratings())
	h, err := reviews(version, stars.URL)
	if err != nil {
		t.Fatal(err)
	}
	if wrapReviews != nil {
		h = wrapReviews(h)
	}
	return server(t, productpage(upstreams{Details: server(t, details()).URL, Reviews: server(t, h).URL, Ratings: stars.URL})).URL
}

func fetch(t *testing.T, client *http.Client, url string) (int, string) {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestPageShowsTheVersionOfReviews(t *testing.T) {
	for version, want := range map[string]string{"v1": "(v1)", "v2": `class="black"`, "v3": `class="red"`} {
		code, body := fetch(t, http.DefaultClient, shopWith(t, version, nil)+"/productpage")
		if code != http.StatusOK || !strings.Contains(body, want) || !strings.Contains(body, "William Shakespeare") {
			t.Errorf("%s: code %d, %q is not in the page", version, code, want)
		}
		if version == "v1" && strings.Contains(body, "★") {
			t.Error("v1 shows stars")
		}
	}
}

func TestAPIPassesOn(t *testing.T) {
	base := shopWith(t, "v3", nil) + "/api/v1/products"
	code, body := fetch(t, http.DefaultClient, base+"/0/reviews")
	var list ReviewList
	if err := json.Unmarshal([]byte(body), &list); err != nil || code != http.StatusOK {
		t.Fatalf("code %d, %v: %s", code, err, body)
	}
	if list.Version != "v3" || len(list.Reviews) != 2 || list.Reviews[0].Rating == nil || *list.Reviews[0].Rating != (Rating{Stars: 5, Color: "red"}) {
		t.Errorf("reviews = %s", body)
	}
	for path, want := range map[string]string{"": "Comedy of Errors", "/0": "ISBN-13", "/0/ratings": `"Reviewer2":4`} {
		if code, body := fetch(t, http.DefaultClient, base+path); code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: code %d, %s", path, code, body)
		}
	}
	if code, _ := fetch(t, http.DefaultClient, base+"/x"); code != http.StatusBadRequest {
		t.Errorf("a product id that is no number: code %d", code)
	}
}

func TestLoginBecomesEndUserHeader(t *testing.T) {
	var got http.Header
	base := shopWith(t, "v1", func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got = r.Header.Clone(); h.ServeHTTP(w, r) })
	})
	jar := &cookies{}
	client := &http.Client{Jar: jar}
	resp, err := client.PostForm(base+"/login", url.Values{"username": {"jason"}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got.Get("End-User") != "jason" {
		t.Errorf("reviews got headers %v, want end-user: jason", got)
	}
	req, err := http.NewRequest(http.MethodGet, base+"/api/v1/products/0/reviews", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("traceparent", "00-1-2-01")
	req.Header.Set("x-b3-traceid", "77")
	req.Header.Set("x-secret", "stays here")
	if resp, err = http.DefaultClient.Do(req); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got.Get("Traceparent") != "00-1-2-01" || got.Get("X-B3-Traceid") != "77" || got.Get("X-Secret") != "" || got.Get("End-User") != "" {
		t.Errorf("reviews got headers %v", got)
	}
}

// cookies is a jar for one host.
type cookies struct{ all []*http.Cookie }

func (c *cookies) SetCookies(_ *url.URL, more []*http.Cookie) { c.all = append(c.all, more...) }
func (c *cookies) Cookies(*url.URL) []*http.Cookie            { return c.all }

func TestPageWithoutReviews(t *testing.T) {
	base := shopWith(t, "v1", func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "away", http.StatusServiceUnavailable) })
	})
	code, body := fetch(t, http.DefaultClient, base+"/productpage")
	if code != http.StatusOK || !strings.Contains(body, "reviews are currently unavailable") || !strings.Contains(body, "ISBN") {
		t.Errorf("code %d: %s", code, body)
	}
	if code, _ := fetch(t, http.DefaultClient, base+"/api/v1/products/0/reviews"); code != http.StatusServiceUnavailable {
		t.Errorf("API code %d, want the 503 of the service", code)
	}
}

func TestReviewsWithoutRatings(t *testing.T) {
	h, err := reviews("v2", "http://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	code, body := fetch(t, http.DefaultClient, server(t, h).URL+"/reviews/0")
	if code != http.StatusOK || !strings.Contains(body, "currently unavailable") {
		t.Errorf("code %d: %s", code, body)
	}
}

func TestUnknownVersionIsRefused(t *testing.T) {
	if _, err := reviews("v4", ""); err == nil {
		t.Error("v4 was accepted")
	}
}
