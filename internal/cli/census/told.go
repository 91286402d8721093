// SPDX-License-Identifier: Apache-2.0

package census

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshwright/meshwright/internal/report"
)

const (
	// webhookPort is where a replica reports of itself.
	webhookPort = "15017"
	// askLimit bounds the question to one replica, askedAtOnce how many are asked at a time.
	askLimit    = 5 * time.Second
	askedAtOnce = 8
)

// Told is what the replicas of a control plane say of themselves, added up.
type Told struct {
	// Replicas is how many said something.
	Replicas int `json:"replicas"`
	// Versions are those that run.
	Versions []string `json:"versions,omitempty"`
	// Connected proxies have a stream; Stale of them do not hold everything as it is now; Rejecting refused something of it.
	Connected int `json:"connected"`
	Stale     int `json:"stale"`
	Rejecting int `json:"rejecting"`
	// Troubles say which replica that is ready could not be asked, or what one of them does not answer, and why.
	Troubles []string `json:"troubles,omitempty"`
}

// Asker asks a replica, which is a pod.
type Asker func(ctx context.Context, pod *corev1.Pod) (report.Report, error)

// Through asks by way of the API server, with the right to get pods/proxy: meshctl runs where no pod can be reached.
func Through(config *rest.Config) (Asker, error) {
	c, err := typedcorev1.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	return func(ctx context.Context, pod *corev1.Pod) (report.Report, error) {
		text, err := c.Pods(pod.Namespace).ProxyGet("https", pod.Name, webhookPort, report.Path, nil).DoRaw(ctx)
		if err != nil {
			return report.Report{}, err
		}
		return report.Read(bytes.NewReader(text))
	}, nil
}

// Ask asks the replicas of control planes that are ready, and notes what they tell.
func Ask(ctx context.Context, reader client.Reader, ask Asker, planes []ControlPlane) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(askedAtOnce)
	var mu sync.Mutex
	for i := range planes {
		plane := &planes[i]
		if plane.Ready == 0 {
			continue
		}
		var pods corev1.PodList
		err := reader.List(ctx, &pods, client.InNamespace(plane.Namespace), client.MatchingLabels{"app": "meshwright", "istio.io/rev": plane.Revision})
		if err != nil {
			return fmt.Errorf("list the pods of control plane %s: %w", plane.Revision, err)
		}
		plane.Told = &Told{}
		for n := range pods.Items {
			pod := &pods.Items[n]
			if !isReady(pod) {
				continue
			}
			group.Go(func() error {
				ctx, cancel := context.WithTimeout(ctx, askLimit)
				defer cancel()
				told, err := ask(ctx, pod)
				mu.Lock()
				defer mu.Unlock()
				plane.Told.add(pod, told, err)
				return nil
			})
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i := range planes {
		if t := planes[i].Told; t != nil {
			slices.Sort(t.Versions)
			slices.Sort(t.Troubles)
			t.Versions, t.Troubles = slices.Compact(t.Versions), slices.Compact(t.Troubles)
		}
	}
	return nil
}

func (t *Told) add(pod *corev1.Pod, told report.Report, err error) {
	switch {
	case apierrors.IsForbidden(err):
		t.Troubles = append(t.Troubles, "you may not get pods/proxy in namespace "+pod.Namespace+", so it was not asked")
		return
	case err != nil:
		t.Troubles = append(t.Troubles, fmt.Sprintf("pod %s/%s is ready, and does not say how it is: %v", pod.Namespace, pod.Name, err))
		return
	}
	for what, answer := range map[string]report.Answer{"xDS": told.XDS, "webhooks": told.Webhooks} {
		if !answer.Answers {
			t.Troubles = append(t.Troubles, fmt.Sprintf("pod %s/%s: its own %s gives no answer: %s", pod.Namespace, pod.Name, what, cmp.Or(answer.Error, "not asked yet")))
		}
	}
	t.Replicas++
	t.Versions = append(t.Versions, told.Version)
	t.Connected += told.Proxies.Connected
	t.Stale += max(0, told.Proxies.Connected-told.Proxies.Synced)
	t.Rejecting += told.Proxies.Rejecting
}

func isReady(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// Running is the version that runs, as the replicas tell it, or else the one that is asked for.
func (p ControlPlane) Running() string {
	if p.Told == nil || len(p.Told.Versions) == 0 {
		return p.Version
	}
	return strings.Join(p.Told.Versions, ",")
}
