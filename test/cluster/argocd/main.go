// SPDX-License-Identifier: Apache-2.0

// Command argocd-state does to a cluster what Argo CD's application controller does with one Application, by the same
// functions of Argo CD: settings from argocd-cm, tracking, cluster cache, comparison, health and synchronisation. What
// it leaves out is what makes the controller large: Redis, the repository server and projects. It takes the
// Application from a file and what the repository server would render from standard input.
//
//	argocd-state compare|sync --kubeconfig FILE --application FILE [--server-side-diff] [--server-side-apply] < manifests.yaml
//
// It prints JSON: the Application's sync and health status, and those of its resources.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/kube"
	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/go-logr/logr"
	"github.com/sirupsen/logrus"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"sigs.k8s.io/yaml"
)

// limit ends a run that hangs.
const limit = 5 * time.Minute

func main() {
	logrus.SetOutput(os.Stderr)
	logrus.SetLevel(logrus.WarnLevel)
	klog.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "argocd-state:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	if len(args) == 0 {
		return fmt.Errorf("say compare or sync")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	kubeconfig := flags.String("kubeconfig", "", "kubeconfig of the cluster")
	file := flags.String("application", "", "file with the Application")
	serverSide := flags.Bool("server-side-diff", false, "compare by dry runs of server-side apply")
	apply := flags.Bool("server-side-apply", false, "add the option ServerSideApply=true to the Application's")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	app, err := readApplication(*file)
	if err != nil {
		return err
	}
	if *apply {
		if app.Spec.SyncPolicy == nil {
			app.Spec.SyncPolicy = &v1alpha1.SyncPolicy{}
		}
		app.Spec.SyncPolicy.SyncOptions = app.Spec.SyncPolicy.SyncOptions.AddOption("ServerSideApply=true")
	}
	text, err := io.ReadAll(in)
	if err != nil {
		return fmt.Errorf("read the manifests: %w", err)
	}
	targets, err := kube.SplitYAML(text)
	if err != nil {
		return fmt.Errorf("split the manifests: %w", err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return fmt.Errorf("read the kubeconfig: %w", err)
	}
	config.QPS, config.Burst = 100, 200
	c, err := newController(ctx, config, app)
	if err != nil {
		return err
	}
	switch args[0] {
	case "sync":
		if err := c.sync(ctx, targets); err != nil {
			return err
		}
	case "compare":
	default:
		return fmt.Errorf("unknown verb %s: say compare or sync", args[0])
	}
	state, err := c.compare(targets, *serverSide)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(state)
}

func readApplication(file string) (*v1alpha1.Application, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the Application: %w", err)
	}
	app := &v1alpha1.Application{}
	if err := yaml.UnmarshalStrict(text, app); err != nil {
		return nil, fmt.Errorf("parse the Application of %s: %w", file, err)
	}
	return app, nil
}

// copies keeps a comparison from writing into what the next one reads.
func copies(in []*unstructured.Unstructured) []*unstructured.Unstructured {
	out := make([]*unstructured.Unstructured, len(in))
	for i, u := range in {
		out[i] = u.DeepCopy()
	}
	return out
}
