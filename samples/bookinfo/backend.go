// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"time"
)

// Book is the answer of the details service.
type Book struct {
	ID        int    `json:"id"`
	Author    string `json:"author"`
	Year      int    `json:"year"`
	Type      string `json:"type"`
	Pages     int    `json:"pages"`
	Publisher string `json:"publisher"`
	Language  string `json:"language"`
	ISBN10    string `json:"ISBN-10"`
	ISBN13    string `json:"ISBN-13"`
}

// Review is one reader's opinion. Rating is missing in v1 of the service.
type Review struct {
	Reviewer string  `json:"reviewer"`
	Text     string  `json:"text"`
	Rating   *Rating `json:"rating,omitempty"`
}

// Rating is a number of stars, or why there is none.
type Rating struct {
	Stars int    `json:"stars,omitempty"`
	Color string `json:"color,omitempty"`
	Error string `json:"error,omitempty"`
}

// ReviewList is the answer of the reviews service. PodName and Version tell
// which of its pods answered.
type ReviewList struct {
	ID      string   `json:"id"`
	PodName string   `json:"podname"`
	Version string   `json:"version"`
	Reviews []Review `json:"reviews"`
}

// RatingList is the answer of the ratings service: stars per reader.
type RatingList struct {
	ID      int            `json:"id"`
	Ratings map[string]int `json:"ratings"`
}

const ratingsLimit = 10 * time.Second

func details() http.Handler {
	mux := newMux()
	mux.HandleFunc("GET /details/{id}", func(w http.ResponseWriter, r *http.Request) {
		id, err := strconv.Atoi(r.PathValue("id"))
		if err != nil {
			fail(w, http.StatusBadRequest, "please provide a numeric product id")
			return
		}
		answer(w, http.StatusOK, Book{
			ID: id, Author: "William Shakespeare", Year: 1595, Type: "paperback", Pages: 200,
			Publisher: "PublisherA", Language: "English", ISBN10: "1234567890", ISBN13: "123-1234567890",
		})
	})
	return mux
}

func ratings() http.Handler {
	mux := newMux()
	mux.HandleFunc("GET /ratings/{id}", func(w http.ResponseWriter, r *http.Request) {
		id, err := strconv.Atoi(r.PathValue("id"))
		if err != nil {
			fail(w, http.StatusBadRequest, "please provide a numeric product id")
			return
		}
		answer(w, http.StatusOK, RatingList{ID: id, Ratings: map[string]int{"Reviewer1": 5, "Reviewer2": 4}})
	})
	return mux
}

// reviews serves one version: v1 knows no stars, v2 paints them black, v3 red.
func reviews(version, ratingsURL string) (http.Handler, error) {
	colors := map[string]string{"v1": "", "v2": "black", "v3": "red"}
	color, ok := colors[version]
	if !ok {
		return nil, fmt.Errorf("--version %q: want v1, v2 or v3", version)
	}
	pod, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("find the name of the pod: %w", err)
	}
	caller := newCaller()
	mux := newMux()
	mux.HandleFunc("GET /reviews/{id}", func(w http.ResponseWriter, r *http.Request) {
		list := ReviewList{ID: r.PathValue("id"), PodName: pod, Version: version, Reviews: []Review{
			{Reviewer: "Reviewer1", Text: "Two pairs of twins and one city: the confusion never stops, and neither does the fun."},
			{Reviewer: "Reviewer2", Text: "Light on its feet and over in an evening. The later plays go deeper, this one laughs louder."},
		}}
		if color != "" {
			rate(r, caller, ratingsURL, color, list.Reviews)
		}
		answer(w, http.StatusOK, list)
	})
	return mux, nil
}

// rate adds the stars. Reviews without their ratings are worth more than no
// reviews, so a ratings service that is away is told in their place.
func rate(r *http.Request, c *caller, url, color string, reviews []Review) {
	var got RatingList
	code, err := c.get(r, url+"/ratings/"+r.PathValue("id"), ratingsLimit, &got)
	for i := range reviews {
		if err != nil || code != http.StatusOK {
			reviews[i].Rating = &Rating{Error: "Ratings service is currently unavailable"}
			continue
		}
		reviews[i].Rating = &Rating{Stars: got.Ratings[reviews[i].Reviewer], Color: color}
	}
}

func newMux() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]string{"status": "healthy"})
	})
	return mux
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	// A client that went away is no concern of the server.
	_ = json.NewEncoder(w).Encode(body)
}

func fail(w http.ResponseWriter, code int, text string) {
	answer(w, code, map[string]string{"error": text})
}
