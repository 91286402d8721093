// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// upstreams are the URLs of the services behind the page.
type upstreams struct{ Details, Reviews, Ratings string }

// Product is a row of the shop's only shelf.
type Product struct {
	ID              int    `json:"id"`
	Title           string `json:"title"`
	DescriptionHTML string `json:"descriptionHtml"`
}

const (
	backendLimit = 3 * time.Second
	userCookie   = "user"
	maxUser      = 64
)

var shelf = []Product{{
	ID: 0, Title: "The Comedy of Errors",
	DescriptionHTML: "One of the earliest plays of William Shakespeare, and his shortest: two pairs of twins, parted at birth, are mistaken for each other all over Ephesus.",
}}

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"stars": func(n int) string { return strings.Repeat("★", n) + strings.Repeat("☆", max(0, 5-n)) },
}).Parse(pageText))

// page is what the template shows.
type page struct {
	Product                        Product
	User                           string
	Details                        *Book
	Reviews                        *ReviewList
	DetailsProblem, ReviewsProblem string
}

type shop struct {
	up     upstreams
	caller *caller
}

func productpage(up upstreams) http.Handler {
	s := &shop{up: up, caller: newCaller()}
	mux := newMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/productpage", http.StatusFound)
	})
	mux.HandleFunc("GET /productpage", s.page)
	mux.HandleFunc("POST /login", login)
	mux.HandleFunc("GET /logout", logout)
	mux.HandleFunc("GET /api/v1/products", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, shelf) })
	mux.HandleFunc("GET /api/v1/products/{id}", func(w http.ResponseWriter, r *http.Request) {
		var b Book
		s.pass(w, r, s.up.Details+"/details/", &b)
	})
	mux.HandleFunc("GET /api/v1/products/{id}/reviews", func(w http.ResponseWriter, r *http.Request) {
		var l ReviewList
		s.pass(w, r, s.up.Reviews+"/reviews/", &l)
	})
	mux.HandleFunc("GET /api/v1/products/{id}/ratings", func(w http.ResponseWriter, r *http.Request) {
		var l RatingList
		s.pass(w, r, s.up.Ratings+"/ratings/", &l)
	})
	return identify(mux)
}

// identify turns the cookie of a logged-in user into the end-user header that
// goes on to the other services. The shop trusts the name as given: it sells
// nothing.
func identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, err := r.Cookie(userCookie); err == nil && c.Value != "" && len(c.Value) <= maxUser {
			r.Header.Set(endUser, c.Value)
		}
		next.ServeHTTP(w, r)
	})
}

func login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	name := r.FormValue("username")
	if name == "" || len(name) > maxUser {
		fail(w, http.StatusBadRequest, "please give a user name of at most 64 bytes")
		return
	}
	http.SetCookie(w, &http.Cookie{Name: userCookie, Value: name, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	http.Redirect(w, r, "/productpage", http.StatusSeeOther)
}

func logout(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, &http.Cookie{Name: userCookie, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	http.Redirect(w, r, "/productpage", http.StatusSeeOther)
}

// pass answers with what the service behind url says about the asked product.
func (s *shop) pass(w http.ResponseWriter, r *http.Request, url string, out any) {
	id, err := strconv.Atoi(r.PathValue("id"))
	if err != nil {
		fail(w, http.StatusBadRequest, "please provide a numeric product id")
		return
	}
	code, err := s.caller.get(r, url+strconv.Itoa(id), backendLimit, out)
	switch {
	case err == nil:
		answer(w, http.StatusOK, out)
	case code == 0:
		fail(w, http.StatusBadGateway, err.Error())
	default:
		fail(w, code, err.Error())
	}
}

// page shows what it gets: a service that is away costs its part of the page.
func (s *shop) page(w http.ResponseWriter, r *http.Request) {
	p := page{Product: shelf[0], User: r.Header.Get(endUser)}
	var book Book
	if _, err := s.caller.get(r, s.up.Details+"/details/0", backendLimit, &book); err != nil {
		p.DetailsProblem = "Sorry, product details are currently unavailable for this book."
	} else {
		p.Details = &book
	}
	var list ReviewList
	if _, err := s.caller.get(r, s.up.Reviews+"/reviews/0", backendLimit, &list); err != nil {
		p.ReviewsProblem = "Sorry, product reviews are currently unavailable for this book."
	} else {
		p.Reviews = &list
	}
	var out bytes.Buffer
	if err := pageTemplate.Execute(&out, p); err != nil {
		fail(w, http.StatusInternalServerError, err.Error())
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(out.Bytes())
}
