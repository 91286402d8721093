// SPDX-License-Identifier: Apache-2.0

// Package validate decides which traffic and security objects users may store. It
// asks projection, so that what is refused here and what is reported in an object's
// status can never differ.
package validate

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/projection"
)

const (
	// maxMessage bounds a refusal, which people read in a terminal.
	maxMessage = 4096
	// maxWarnings and maxWarning keep within what the API server passes on: 4096
	// characters in all, of which it cuts single ones at 256.
	maxWarnings = 15
	maxWarning  = 250
)

// check projects a spec and returns what there is to say of it.
type check func(meta *metav1.ObjectMeta, spec []byte) ([]ir.Problem, error)

// Validator reviews objects. It keeps nothing between reviews.
type Validator struct {
	checks map[string]check // by GROUP/KIND
}

// New reviews objects of a cluster with the DNS domain.
func New(domain string) *Validator {
	v := &Validator{checks: map[string]check{}}
	for _, k := range (projection.Scope{Domain: domain}).Kinds() {
		v.checks[k.Group+"/"+k.Name] = k.Check
	}
	return v
}

// Review refuses an object with errors, naming the fields, and passes warnings on to
// the user. Every version of a kind has the same schema, so the version is not asked.
// An update of an object that has errors already is reviewed like a new one, but
// one that leaves the spec as it was is allowed: it may remove a finalizer.
func (v *Validator) Review(_ context.Context, request *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	allowed := &admissionv1.AdmissionResponse{Allowed: true}
	if request.Operation != admissionv1.Create && request.Operation != admissionv1.Update {
		return allowed
	}
	check := v.checks[request.Kind.Group+"/"+request.Kind.Kind]
	if check == nil || request.SubResource != "" {
		return allowed
	}
	next, err := read(request.Object.Raw)
	if err != nil {
		return refuse(http.StatusBadRequest, "cannot read the object: "+err.Error())
	}
	if next.Namespace == "" {
		next.Namespace = request.Namespace
	}
	found, err := check(&next.ObjectMeta, next.Spec)
	if err != nil {
		found = []ir.Problem{{Severity: ir.Error, Field: "spec", Message: "cannot be read: " + err.Error()}}
	}
	errors, warnings := split(found)
	if len(errors) > 0 {
		if old, err := read(request.OldObject.Raw); err == nil && len(old.Spec) > 0 && string(old.Spec) == string(next.Spec) {
			allowed.Warnings = cut(append(errors, warnings...))
			return allowed
		}
		response := refuse(http.StatusUnprocessableEntity,
			fmt.Sprintf("%s %s/%s is not valid: %s", request.Kind.Kind, next.Namespace, next.Name, strings.Join(errors, "; ")))
		response.Warnings = cut(warnings)
		return response
	}
	allowed.Warnings = cut(warnings)
	return allowed
}

type object struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              json.RawMessage `json:"spec"`
}

func read(text []byte) (*object, error) {
	out := &object{}
	if err := json.Unmarshal(text, out); err != nil {
		return nil, fmt.Errorf("decode the object: %w", err)
	}
	return out, nil
}

// split parts what is refused from what is only pointed out. A field that is valid
// and not served is pointed out, and shows in the object's status: manifests that
// were written for other meshes must be storable as they are.
func split(found []ir.Problem) (errors, warnings []string) {
	for _, p := range found {
		if p.Severity == ir.Error && p.Reason != projection.ReasonNotServed {
			errors = append(errors, p.String())
		} else {
			warnings = append(warnings, p.String())
		}
	}
	return errors, warnings
}

func refuse(code int32, message string) *admissionv1.AdmissionResponse {
	return &admissionv1.AdmissionResponse{Result: &metav1.Status{
		Status: metav1.StatusFailure, Code: code, Reason: metav1.StatusReasonInvalid, Message: shorten(message, maxMessage),
	}}
}

func cut(warnings []string) []string {
	out := make([]string, 0, len(warnings))
	for i, w := range warnings {
		if i == maxWarnings {
			out = append(out, fmt.Sprintf("and %d more; see the object's status", len(warnings)-i))
			break
		}
		out = append(out, shorten(w, maxWarning))
	}
	return out
}

// shorten cuts at a rune's edge.
func shorten(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	end := limit - len("...")
	for end > 0 && s[end]&0xC0 == 0x80 {
		end--
	}
	return s[:end] + "..."
}
