// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshwright/meshwright/test/e2e/env"
)

// A Job ends although its proxy never does by itself, and its init container
// has the mesh already: STRICT would refuse it otherwise.
func testJobCompletes(t *testing.T) {
	application(t)
	applied(t, "strict.yaml")
	until(t, "STRICT", func(r env.Report) error {
		if len(r.Errors) == 0 {
			return fmt.Errorf("plaintext is still answered: %s", r)
		}
		return nil
	}, callPlain, echoFar, "--keep-alive=false")
	applied(t, "job.yaml")
	var job *batchv1.Job
	err := env.Eventually(t.Context(), podLimit, "the Job completes", func(ctx context.Context) error {
		var err error
		if job, err = cluster.Kube.BatchV1().Jobs(appSpace).Get(ctx, "meshed", metav1.GetOptions{}); err != nil {
			return err
		}
		for _, c := range job.Status.Conditions {
			if c.Type == batchv1.JobComplete && c.Status == corev1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("status %+v", job.Status)
	})
	must(t, err)
	if job.Status.Succeeded != 1 || job.Status.Failed != 0 {
		t.Errorf("%d pods succeeded, %d failed; want one and none", job.Status.Succeeded, job.Status.Failed)
	}
	pods, err := cluster.Kube.CoreV1().Pods(appSpace).List(t.Context(), metav1.ListOptions{LabelSelector: "app=meshed-job"})
	must(t, err)
	for i := range pods.Items {
		if _, ok := env.Sidecar(&pods.Items[i]); !ok {
			t.Errorf("pod %s has no proxy", pods.Items[i].Name)
		}
		if pods.Items[i].Status.Phase != corev1.PodSucceeded {
			t.Errorf("pod %s is %s", pods.Items[i].Name, pods.Items[i].Status.Phase)
		}
	}
	t.Logf("took %s", job.Status.CompletionTime.Sub(job.Status.StartTime.Time))
}
