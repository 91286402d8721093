// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshwright/meshwright/internal/selfcheck"
)

// maxReviewBytes bounds a review. The API server takes objects up to 3 MiB, and an update carries two of them.
const maxReviewBytes = 7 << 20

const msgBadReview = "cannot read an admission review"

// Reviewer decides about one request. It must answer within the webhook's timeout and must not keep the request.
type Reviewer interface {
	Review(ctx context.Context, request *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse
}

// ReviewFunc is a Reviewer that is one function.
type ReviewFunc = func(ctx context.Context, request *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse

// Branching reviewers answer at paths below their own, too.
type Branching interface {
	Reviewer
	// Below is who reviews at a path, given whole; an error says what is wrong with the path.
	Below(path string) (ReviewFunc, error)
}

// handler speaks the admission protocol, version v1, around what a path has
// (https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#request).
type handler struct {
	find func(path string) (ReviewFunc, error)
	log  logr.Logger
}

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	decide, err := h.find(r.URL.Path)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	review, status, err := readReview(w, r)
	if err != nil {
		h.log.Info(msgBadReview, "path", r.URL.Path, "error", err.Error())
		http.Error(w, err.Error(), status)
		return
	}
	response := selfCheck(r.URL.Path, review.Request)
	if response == nil {
		response = decide(r.Context(), review.Request)
	}
	if response == nil {
		response = &admissionv1.AdmissionResponse{Result: &metav1.Status{Status: metav1.StatusFailure, Code: http.StatusInternalServerError, Message: "the review had no outcome"}}
	}
	response.UID = review.Request.UID
	body, err := json.Marshal(admissionv1.AdmissionReview{TypeMeta: review.TypeMeta, Response: response})
	if err != nil {
		http.Error(w, fmt.Sprintf("encode the answer: %v", err), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	// A failed write means that the API server has hung up; there is nobody left to tell.
	_, _ = w.Write(body)
}

// selfCheck answers for what the operator asks to see that the webhooks are there, and nil for all else.
func selfCheck(path string, request *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	if path == PathValidate {
		return selfcheck.Validate(request)
	}
	return selfcheck.Inject(request)
}

func readReview(w http.ResponseWriter, r *http.Request) (*admissionv1.AdmissionReview, int, error) {
	if r.Method != http.MethodPost {
		return nil, http.StatusMethodNotAllowed, fmt.Errorf("method %s is not POST", r.Method)
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, http.StatusUnsupportedMediaType, fmt.Errorf("content type %q is not application/json", r.Header.Get("Content-Type"))
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxReviewBytes))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return nil, http.StatusRequestEntityTooLarge, fmt.Errorf("the review is larger than %d bytes", maxReviewBytes)
	}
	if err != nil {
		return nil, http.StatusBadRequest, fmt.Errorf("read the review: %w", err)
	}
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(body, &review); err != nil {
		return nil, http.StatusBadRequest, fmt.Errorf("decode the review: %w", err)
	}
	if gvk := admissionv1.SchemeGroupVersion.WithKind("AdmissionReview"); review.GroupVersionKind() != gvk {
		return nil, http.StatusBadRequest, fmt.Errorf("the body is a %q of %q, not an %s of %s", review.Kind, review.APIVersion, gvk.Kind, gvk.GroupVersion())
	}
	if review.Request == nil || review.Request.UID == "" {
		return nil, http.StatusBadRequest, errors.New("the review has no request, or one without uid")
	}
	return &review, http.StatusOK, nil
}
