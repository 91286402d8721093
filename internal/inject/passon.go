// SPDX-License-Identifier: Apache-2.0

package inject

import (
	"context"
	"fmt"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/meshwright/meshwright/internal/placement"
)

const (
	msgNotPassedOn = "injected pods of another revision, which does not answer; they have to be restarted when it does"

	// failuresPause is how long nothing more is said of a revision that does not answer.
	failuresPause = time.Minute
)

// Outcomes of a review that was passed on.
const (
	outcomeAnswered = "Answered"
	outcomeFailed   = "Failed"
)

// Colleagues are the control planes of the other revisions in the own namespace.
type Colleagues interface {
	// Review asks the revision at a path. It ends well before the API server gives up on the question.
	Review(ctx context.Context, revision, path string, request *admissionv1.AdmissionRequest) (*admissionv1.AdmissionResponse, error)
}

// Below is who answers at a path below that of Review: for the name that the path says, and for the revision to which
// the workloads of the name are moved.
func (i *Injector) Below(path string) (func(context.Context, *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse, error) {
	parsed, err := placement.ParsePath(path)
	if err != nil {
		return nil, err
	}
	if parsed.Name == "" {
		return i.Review, nil
	}
	return func(ctx context.Context, request *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		return i.review(ctx, parsed, request)
	}, nil
}

// passOn returns the answer of the revision that the pod's workload was moved to; nil when it is the own one. It is nil
// with a warning for the user when the other does not answer: a pod that starts is worth more than the right proxy.
func (i *Injector) passOn(
	ctx context.Context, path placement.Path, request *admissionv1.AdmissionRequest, pod *corev1.Pod,
) (*admissionv1.AdmissionResponse, []string) {
	to := path.Split
	if to == nil || to.Revision == i.config.Revision || !to.Takes(placement.Of(pod)) {
		return nil, nil
	}
	response, err := i.colleagues.Review(ctx, to.Revision, placement.Path{Name: path.Name}.String(), request)
	if err == nil {
		countPassed(request, outcomeAnswered)
		return response, nil
	}
	countPassed(request, outcomeFailed)
	i.failures.Do(func() { i.log.Error(err, msgNotPassedOn, "revision", to.Revision, "namespace", request.Namespace) })
	return nil, []string{fmt.Sprintf("the proxy is of revision %s, because revision %s, to which this workload is moved, did not answer: restart the pod later",
		i.config.Revision, to.Revision)}
}

// countPassed leaves out dry runs, as count does.
func countPassed(request *admissionv1.AdmissionRequest, outcome string) {
	if request.DryRun == nil || !*request.DryRun {
		passedOn.WithLabelValues(outcome).Inc()
	}
}
