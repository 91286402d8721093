// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/cache"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/diff"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/health"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/sync"
	synccommon "github.com/argoproj/argo-cd/gitops-engine/pkg/sync/common"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/kube"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/tracing"
	"github.com/argoproj/argo-cd/v3/common"
	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/argo"
	argodiff "github.com/argoproj/argo-cd/v3/util/argo/diff"
	"github.com/argoproj/argo-cd/v3/util/argo/normalizers"
	"github.com/argoproj/argo-cd/v3/util/lua"
	"github.com/argoproj/argo-cd/v3/util/settings"
	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// argoNamespace is where Argo CD reads its settings.
const argoNamespace = "argocd"

// controller is Argo CD's view of one cluster for one Application.
type controller struct {
	config    *rest.Config
	app       *v1alpha1.Application
	kubectl   kube.Kubectl
	cache     cache.ClusterCache
	overrides map[string]v1alpha1.ResourceOverride
	compared  settings.ArgoCDDiffOptions
	labelKey  string
	tracking  v1alpha1.TrackingMethod
}

func newController(ctx context.Context, config *rest.Config, app *v1alpha1.Application) (*controller, error) {
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	c := &controller{config: config, app: app, kubectl: &kube.KubectlCmd{Log: logr.Discard(), Tracer: tracing.NopTracer{}}}
	manager := settings.NewSettingsManager(ctx, clients, argoNamespace)
	var problems []error
	keep := func(err error) { problems = append(problems, err) }
	c.overrides, err = manager.GetResourceOverrides()
	keep(err)
	c.compared, err = manager.GetResourceCompareOptions()
	keep(err)
	c.labelKey, err = manager.GetAppInstanceLabelKey()
	keep(err)
	tracking, err := manager.GetTrackingMethod()
	keep(err)
	filter, err := manager.GetResourcesFilter()
	keep(err)
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("read Argo CD's settings: %w", err)
	}
	c.tracking = v1alpha1.TrackingMethod(tracking)
	c.cache = cache.NewClusterCache(config,
		cache.SetLogr(logr.Discard()),
		cache.SetSettings(cache.Settings{ResourceHealthOverride: lua.ResourceHealthOverrides(c.overrides), ResourcesFilter: filter}),
		cache.SetPopulateResourceInfoHandler(func(u *unstructured.Unstructured, _ bool) (any, bool) {
			name := argo.NewResourceTracking().GetAppName(u, c.labelKey, c.tracking, "")
			return name, name != ""
		}))
	return c, c.cache.EnsureSynced()
}

// reconcile pairs what is wanted with what is there, as the Application's resources.
func (c *controller) reconcile(targets []*unstructured.Unstructured) (sync.ReconciliationResult, error) {
	targets = copies(targets)
	for _, u := range targets {
		namespaced, err := c.cache.IsNamespaced(u.GroupVersionKind().GroupKind())
		if err == nil && namespaced && u.GetNamespace() == "" {
			u.SetNamespace(c.app.Spec.Destination.Namespace)
		}
		if err := argo.NewResourceTracking().SetAppInstance(u, c.labelKey, c.app.Name, c.app.Spec.Destination.Namespace, c.tracking, ""); err != nil {
			return sync.ReconciliationResult{}, fmt.Errorf("track %s %s: %w", u.GetKind(), u.GetName(), err)
		}
	}
	live, err := c.cache.GetManagedLiveObjs(targets, func(r *cache.Resource) bool { return r.Info == any(c.app.Name) })
	if err != nil {
		return sync.ReconciliationResult{}, fmt.Errorf("find what is in the cluster: %w", err)
	}
	return sync.Reconcile(targets, live, c.app.Spec.Destination.Namespace, c.cache), nil
}

func (c *controller) differences(r sync.ReconciliationResult, serverSide bool) (*diff.DiffResultList, error) {
	builder := argodiff.NewDiffConfigBuilder().
		WithDiffSettings(c.app.Spec.IgnoreDifferences, c.overrides, c.compared.IgnoreAggregatedRoles, normalizers.IgnoreNormalizerOpts{}).
		WithTracking(c.labelKey, string(c.tracking)).WithNoCache().
		WithGVKParser(c.cache.GetGVKParser()).WithManager(common.ArgoCDSSAManager).
		WithServerSideDiff(serverSide).WithStructuredMergeDiff(c.option("ServerSideApply=true"))
	if serverSide {
		applier, done, err := c.kubectl.ManageServerSideDiffDryRuns(c.config)
		if err != nil {
			return nil, fmt.Errorf("prepare dry runs: %w", err)
		}
		defer done()
		builder.WithServerSideDryRunner(diff.NewK8sServerSideDryRunner(applier))
	}
	config, err := builder.Build()
	if err != nil {
		return nil, err
	}
	return argodiff.StateDiffs(r.Live, r.Target, config)
}

func (c *controller) option(name string) bool {
	return c.app.Spec.SyncPolicy != nil && c.app.Spec.SyncPolicy.SyncOptions.HasOption(name)
}

// State is what Argo CD shows of an Application.
type State struct {
	Sync, Health string
	Resources    []Resource
}

// Resource is one row of it. Live and Predicted are there when they differ.
type Resource struct {
	Group, Kind, Namespace, Name string
	Sync, Health, Message        string
	Live, Predicted              json.RawMessage `json:",omitempty"`
}

// compare is what the controller does for each refresh; the rules for sync and health are those of its
// CompareAppState and setApplicationHealth, which cannot be called without the rest of it.
func (c *controller) compare(targets []*unstructured.Unstructured, serverSide bool) (State, error) {
	r, err := c.reconcile(targets)
	if err != nil {
		return State{}, err
	}
	differences, err := c.differences(r, serverSide)
	if err != nil {
		return State{}, fmt.Errorf("compare: %w", err)
	}
	state := State{Sync: string(v1alpha1.SyncStatusCodeSynced)}
	worst := health.HealthStatusHealthy
	for i, target := range r.Target {
		live, d := r.Live[i], differences.Diffs[i]
		shown := live
		if shown == nil {
			shown = target
		}
		row := Resource{
			Group: shown.GroupVersionKind().Group, Kind: shown.GetKind(), Namespace: shown.GetNamespace(), Name: shown.GetName(),
			Sync: string(v1alpha1.SyncStatusCodeSynced),
		}
		if d.Modified || target == nil || live == nil {
			row.Sync, state.Sync = string(v1alpha1.SyncStatusCodeOutOfSync), string(v1alpha1.SyncStatusCodeOutOfSync)
			row.Live, row.Predicted = d.NormalizedLive, d.PredictedLive
		}
		if live == nil {
			row.Health = string(health.HealthStatusMissing)
		} else if found, err := health.GetResourceHealth(live, lua.ResourceHealthOverrides(c.overrides)); err != nil {
			return State{}, err
		} else if found != nil {
			row.Health, row.Message = string(found.Status), found.Message
			if health.IsWorse(worst, found.Status) {
				worst = found.Status
			}
		}
		state.Resources = append(state.Resources, row)
	}
	state.Health = string(worst)
	return state, nil
}

// again is how often an operation under way is looked at.
const again = time.Second

// sync applies what is wanted, with the waves, hooks and options of the Application, and prunes. As in the controller each
// look takes up where the one before ended, with what is in the cluster then.
func (c *controller) sync(ctx context.Context, targets []*unstructured.Unstructured) error {
	phase, message, results, started := synccommon.OperationRunning, "", []synccommon.ResourceSyncResult(nil), metav1.Now()
	for {
		r, err := c.reconcile(targets)
		if err != nil {
			return err
		}
		options := append(c.options(), sync.WithInitialState(phase, message, results, started))
		syncing, done, err := sync.NewSyncContext("", r, c.config, c.config, c.kubectl, c.app.Spec.Destination.Namespace, options...)
		if err != nil {
			return fmt.Errorf("begin to synchronise: %w", err)
		}
		syncing.Sync()
		phase, message, results = syncing.GetState()
		done()
		if phase == synccommon.OperationSucceeded {
			return nil
		}
		if phase.Completed() {
			for _, r := range results {
				if r.Status == synccommon.ResultCodeSyncFailed || r.HookPhase == synccommon.OperationFailed {
					message += fmt.Sprintf("; %s: %s", r.ResourceKey.String(), r.Message)
				}
			}
			return fmt.Errorf("synchronise: %s: %s", phase, message)
		}
		select {
		case <-time.After(again):
		case <-ctx.Done():
			return fmt.Errorf("synchronise: %w: %s", ctx.Err(), message)
		}
	}
}

// options are those of the Application and the controller's own.
func (c *controller) options() []sync.SyncOpt {
	policy := metav1.DeletePropagationForeground
	options := []sync.SyncOpt{
		sync.WithLogr(logr.Discard()),
		sync.WithHealthOverride(lua.ResourceHealthOverrides(c.overrides)),
		sync.WithOperationSettings(false, true, false, false),
		sync.WithManifestValidation(true),
		sync.WithPrunePropagationPolicy(&policy),
		sync.WithServerSideApply(c.option("ServerSideApply=true")),
		sync.WithServerSideApplyManager(common.ArgoCDSSAManager),
		sync.WithClientSideApplyMigration(true, synccommon.DefaultClientSideApplyMigrationManager),
		sync.WithSkipDryRunOnMissingResource(c.option("SkipDryRunOnMissingResource=true")),
	}
	if c.option("CreateNamespace=true") {
		options = append(options, sync.WithNamespaceModifier(func(_, live *unstructured.Unstructured) (bool, error) { return live == nil, nil }))
	}
	return options
}
