// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// LabelRevision names a revision: on namespaces and pods the one that is to inject, on every pod with a proxy the
	// one that it asks.
	LabelRevision = "istio.io/rev"
	// LabelTemplate is Kubernetes' own on pods of a ReplicaSet: the part of its name after that of the Deployment.
	LabelTemplate = "pod-template-hash"
	// AnnotationState is written by whoever injects: what was added to the pod, and by which revision.
	AnnotationState = "sidecar.istio.io/status"
)

// cronJobName matches what the CronJob controller names its Jobs: the CronJob, then the scheduled minute since 1970.
var cronJobName = regexp.MustCompile(`^(.+)-\d{8,10}$`)

// Workload names what the user wrote to get pods.
type Workload struct {
	Namespace, Kind, Name string
}

// Of is the workload of a pod: the Deployment rather than its ReplicaSet, the CronJob rather than its Job. A pod without
// a controller is its own workload; where its name is generated, that is the part that is known before it exists. The
// answer is the same while the pod is admitted, when it has no name yet, and from its metadata alone.
func Of(pod metav1.Object) Workload {
	w := Workload{Namespace: pod.GetNamespace(), Kind: "Pod", Name: pod.GetName()}
	if prefix := strings.TrimSuffix(pod.GetGenerateName(), "-"); prefix != "" {
		w.Name = prefix
	}
	owner := metav1.GetControllerOfNoCopy(pod)
	if owner == nil {
		return w
	}
	w.Kind, w.Name = owner.Kind, owner.Name
	switch owner.Kind {
	case "ReplicaSet":
		if name, cut := strings.CutSuffix(owner.Name, "-"+pod.GetLabels()[LabelTemplate]); cut && name != "" && !strings.HasSuffix(owner.Name, "-") {
			w.Kind, w.Name = "Deployment", name
		}
	case "Job":
		if m := cronJobName.FindStringSubmatch(owner.Name); m != nil {
			w.Kind, w.Name = "CronJob", m[1]
		}
	}
	return w
}

// String writes the workload as KIND NAMESPACE/NAME.
func (w Workload) String() string { return w.Kind + " " + w.Namespace + "/" + w.Name }

// Place is where a workload stands among all: what is asked for a share of the workloads takes those up to a place. It
// stays the same while pods come and go.
type Place uint64

// Place is the first 8 bytes of the SHA-256 of NAMESPACE/KIND/NAME.
func (w Workload) Place() Place {
	sum := sha256.Sum256([]byte(w.Namespace + "/" + w.Kind + "/" + w.Name))
	return Place(binary.BigEndian.Uint64(sum[:8]))
}

// Last is the highest place: up to it is every workload.
const Last = Place(math.MaxUint64)

// placeDigits is the length of a place in text.
const placeDigits = 16

// String is the place in 16 lower-case hexadecimal digits, so that the order of texts is that of places.
func (p Place) String() string { return fmt.Sprintf("%0*x", placeDigits, uint64(p)) }

// ParsePlace reads what String wrote, and nothing else.
func ParsePlace(text string) (Place, error) {
	n, err := strconv.ParseUint(text, 16, 64)
	if p := Place(n); err == nil && p.String() == text {
		return p, nil
	}
	return 0, fmt.Errorf("%.40q is not a place of %d lower-case hexadecimal digits", text, placeDigits)
}

// RevisionOf is the revision that injected the pod, "" when none did.
func RevisionOf(pod metav1.Object) string {
	var state struct {
		Revision string `json:"revision"`
	}
	if json.Unmarshal([]byte(pod.GetAnnotations()[AnnotationState]), &state) != nil {
		return ""
	}
	return state.Revision
}
