// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"

	"github.com/go-logr/logr"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

// fieldManager owns the fields that meshctl writes, and labels what it installs.
const fieldManager = "meshctl"

// Requests to the API server that a command may send in a second and at once.
const (
	requestsPerSecond = 50
	requestsAtOnce    = 100
)

// session is what the commands of one run share.
type session struct {
	Streams
	kubeconfig, context, as string
	asGroups                []string
}

// config reads how to reach the API server. Nothing is asked yet.
func (s *session) config() (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = s.kubeconfig
	overrides := &clientcmd.ConfigOverrides{CurrentContext: s.context}
	overrides.AuthInfo.Impersonate, overrides.AuthInfo.ImpersonateGroups = s.as, s.asGroups
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("read how to reach the cluster: %w; give --kubeconfig and --context", err)
	}
	config.QPS, config.Burst = requestsPerSecond, requestsAtOnce
	config.UserAgent = "meshctl"
	config.WarningHandler = rest.NewWarningWriter(s.Err, rest.WarningWriterOptions{Deduplicate: true})
	return config, nil
}

// connect returns a client that reads and writes without a cache.
func (s *session) connect() (client.Client, *rest.Config, error) {
	config, err := s.config()
	if err != nil {
		return nil, nil, err
	}
	// What there is to say goes to the streams of the command.
	log.SetLogger(logr.Discard())
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, nil, fmt.Errorf("build scheme: %w", err)
		}
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	return client.WithFieldOwner(c, fieldManager), config, nil
}

// note writes a line for people, beside the result.
func (s *session) note(format string, args ...any) { fmt.Fprintf(s.Err, format+"\n", args...) }
