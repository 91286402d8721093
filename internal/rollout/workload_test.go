// SPDX-License-Identifier: Apache-2.0

package rollout_test

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/meshwright/meshwright/internal/rollout"
)

func TestOf(t *testing.T) {
	for name, c := range map[string]struct {
		kind    client.Object
		text    string
		settled bool
		manual  string
		// blocked is whether a budget that allows nothing holds it.
		blocked bool
	}{
		"deployment that is there":  {&appsv1.Deployment{}, `{metadata: {generation: 2}, spec: {replicas: 2}, status: {observedGeneration: 2, replicas: 2, updatedReplicas: 2, availableReplicas: 2}}`, true, "", false},
		"deployment not seen yet":   {&appsv1.Deployment{}, `{metadata: {generation: 2}, status: {observedGeneration: 1, replicas: 1, updatedReplicas: 1, availableReplicas: 1}}`, false, "", false},
		"deployment with old pods":  {&appsv1.Deployment{}, `{status: {replicas: 2, updatedReplicas: 1, availableReplicas: 2}}`, false, "", false},
		"deployment that is paused": {&appsv1.Deployment{}, `{spec: {paused: true}, status: {replicas: 1, updatedReplicas: 1, availableReplicas: 1}}`, true, "its rollouts are paused (spec.paused)", false},
		"one that sheds":            {&appsv1.Deployment{}, `{spec: {replicas: 4, strategy: {rollingUpdate: {maxUnavailable: 25%}}}}`, false, "", true},
		"one that rounds to none":   {&appsv1.Deployment{}, `{spec: {replicas: 3, strategy: {rollingUpdate: {maxUnavailable: 25%}}}}`, false, "", false},
		"recreate":                  {&appsv1.Deployment{}, `{spec: {strategy: {type: Recreate}}}`, false, "", true},
		"stateful set":              {&appsv1.StatefulSet{}, `{spec: {replicas: 2}, status: {replicas: 2, updatedReplicas: 2, availableReplicas: 2}}`, true, "", true},
		"stateful set by hand":      {&appsv1.StatefulSet{}, `{spec: {updateStrategy: {type: OnDelete}}}`, false, "its pods are replaced by hand (updateStrategy OnDelete)", true},
		"stateful set in parts":     {&appsv1.StatefulSet{}, `{spec: {updateStrategy: {rollingUpdate: {partition: 2}}}}`, false, "its rollouts stop at partition 2", true},
		"daemon set":                {&appsv1.DaemonSet{}, `{status: {desiredNumberScheduled: 3, updatedNumberScheduled: 3, numberAvailable: 2}}`, false, "", true},
		"daemon set that is there":  {&appsv1.DaemonSet{}, `{status: {desiredNumberScheduled: 3, updatedNumberScheduled: 3, numberAvailable: 3}}`, true, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			if err := yaml.UnmarshalStrict([]byte(c.text), c.kind); err != nil {
				t.Fatal(err)
			}
			state := rollout.Of(c.kind)
			if state.Settled != c.settled || state.Manual != c.manual {
				t.Errorf("got %+v", state)
			}
			var none, other policyv1.PodDisruptionBudget
			for text, budget := range map[string]*policyv1.PodDisruptionBudget{`{spec: {selector: {}}}`: &none, `{spec: {selector: {matchLabels: {a: b}}}}`: &other} {
				if err := yaml.UnmarshalStrict([]byte(text), budget); err != nil {
					t.Fatal(err)
				}
			}
			if got := state.Blocked([]policyv1.PodDisruptionBudget{other, none}); (got != "") != c.blocked {
				t.Errorf("blocked: %q", got)
			}
			if got := state.Blocked([]policyv1.PodDisruptionBudget{other}); got != "" {
				t.Errorf("blocked by the budget of others: %q", got)
			}
		})
	}
}
