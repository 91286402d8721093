// SPDX-License-Identifier: Apache-2.0

package env

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/cli"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage/driver"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Release is a chart as a user installs it with helm.
type Release struct {
	Name, Namespace string
	// Chart is the chart's directory.
	Chart  string
	Values map[string]any
	// Wait is for `--wait`: helm waits until all of it is ready.
	Wait bool
}

// Helm installs a release as `helm install` does, or upgrades the one that is there. Charts that have images get those
// of this build.
func (c *Cluster) Helm(ctx context.Context, limit time.Duration, r Release) error {
	config, err := c.helm(r.Namespace)
	if err != nil {
		return err
	}
	chart, err := loader.Load(r.Chart)
	if err != nil {
		return fmt.Errorf("load the chart %s: %w", r.Chart, err)
	}
	values := map[string]any{}
	if _, has := chart.Values["image"]; has {
		values["image"] = map[string]any{"registry": c.Registry, "tag": c.Tag}
	}
	maps.Copy(values, r.Values)
	fresh, err := settle(config, r.Name)
	if err != nil {
		return err
	}
	if fresh {
		install := action.NewInstall(config)
		install.ReleaseName, install.Namespace, install.CreateNamespace = r.Name, r.Namespace, true
		install.Wait, install.Timeout = r.Wait, limit
		_, err = install.RunWithContext(ctx, chart, values)
	} else {
		upgrade := action.NewUpgrade(config)
		upgrade.Namespace, upgrade.MaxHistory = r.Namespace, 3
		upgrade.Wait, upgrade.Timeout = r.Wait, limit
		_, err = upgrade.RunWithContext(ctx, r.Name, chart, values)
	}
	if err != nil {
		return fmt.Errorf("install the release %s: %w", r.Name, err)
	}
	return nil
}

// settle tells whether a release has to be installed anew. What an interrupted or failed run left is cleared away, for
// helm refuses to go on from there by itself.
func settle(config *action.Configuration, name string) (fresh bool, err error) {
	releases, err := action.NewHistory(config).Run(name)
	if errors.Is(err, driver.ErrReleaseNotFound) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("look up the release %s: %w", name, err)
	}
	deployed, pending := false, false
	for _, r := range releases {
		deployed = deployed || r.Info.Status == release.StatusDeployed || r.Info.Status == release.StatusSuperseded
		pending = pending || r.Info.Status.IsPending()
	}
	switch {
	case !deployed:
		if _, err := action.NewUninstall(config).Run(name); err != nil {
			return false, fmt.Errorf("clear away a failed installation of %s: %w", name, err)
		}
		return true, nil
	case pending:
		if err := action.NewRollback(config).Run(name); err != nil {
			return false, fmt.Errorf("clear away an interrupted upgrade of %s: %w", name, err)
		}
	}
	return false, nil
}

// HelmObjects returns what a release has installed, as `helm get manifest` prints it.
func (c *Cluster) HelmObjects(namespace, name string) ([]*unstructured.Unstructured, error) {
	config, err := c.helm(namespace)
	if err != nil {
		return nil, err
	}
	r, err := action.NewGet(config).Run(name)
	if err != nil {
		return nil, fmt.Errorf("look up the release %s: %w", name, err)
	}
	return c.Parse([]byte(r.Manifest))
}

// Unhelm removes a release as `helm uninstall --wait` does; one that is not there is fine.
func (c *Cluster) Unhelm(limit time.Duration, namespace, name string) error {
	config, err := c.helm(namespace)
	if err != nil {
		return err
	}
	uninstall := action.NewUninstall(config)
	uninstall.Wait, uninstall.Timeout = limit > 0, limit
	if _, err := uninstall.Run(name); err != nil && !errors.Is(err, driver.ErrReleaseNotFound) {
		return fmt.Errorf("uninstall %s: %w", name, err)
	}
	return nil
}

// InstallOperator installs the operator's chart, or upgrades the release that is there, and waits until it runs.
func (c *Cluster) InstallOperator(ctx context.Context, limit time.Duration, chartDir string) error {
	if err := c.Helm(ctx, limit, Release{Name: OperatorRelease, Namespace: OperatorNamespace, Chart: chartDir}); err != nil {
		return err
	}
	return c.WaitDeployments(ctx, limit, OperatorNamespace, OperatorName)
}

// UninstallOperator removes the release; one that is not there is fine.
func (c *Cluster) UninstallOperator() error { return c.Unhelm(0, OperatorNamespace, OperatorRelease) }

func (c *Cluster) helm(namespace string) (*action.Configuration, error) {
	settings := cli.New()
	settings.KubeConfig = c.Kubeconfig
	settings.SetNamespace(namespace)
	config := new(action.Configuration)
	if err := config.Init(settings.RESTClientGetter(), namespace, "secret", func(string, ...any) {}); err != nil {
		return nil, fmt.Errorf("prepare helm: %w", err)
	}
	return config, nil
}
