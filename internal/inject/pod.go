// SPDX-License-Identifier: Apache-2.0

package inject

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/meshwright/meshwright/internal/agent/metric"
	"github.com/meshwright/meshwright/internal/ownport"
	"github.com/meshwright/meshwright/internal/placement"
	"github.com/meshwright/meshwright/internal/proxyconfig"
)

const (
	annotationScrape  = "prometheus.io/scrape"
	annotationPort    = "prometheus.io/port"
	annotationPath    = "prometheus.io/path"
	annotationScheme  = "prometheus.io/scheme"
	annotationDefault = "kubectl.kubernetes.io/default-container"
	// annotationNetworks is what Multus attaches a pod to, with commas between.
	annotationNetworks = "k8s.v1.cni.cncf.io/networks"
)

// status is the value of placement.AnnotationState: what was added, so that tools and the next review can tell.
type status struct {
	InitContainers []string `json:"initContainers"`
	Containers     []string `json:"containers"`
	Volumes        []string `json:"volumes"`
	Revision       string   `json:"revision"`
}

// Pod computes the changes that give a pod its proxy, and warnings for the user. settings hold for the proxy where the pod
// says nothing. An error is the user's to correct and names the path.
func (c Config) Pod(namespaceLabels map[string]string, settings proxyconfig.Settings, pod *corev1.Pod) ([]Operation, []string, error) {
	options, warnings, err := parseOptions(pod.Annotations, settings)
	if err != nil {
		return nil, nil, err
	}
	if !slices.ContainsFunc(pod.Spec.Containers, func(c corev1.Container) bool { return !isOurs(c.Name) }) {
		return nil, nil, errors.New("spec.containers: there is no container but the proxy's; a gateway is installed with its own proxy and the label " + LabelInject + "=false")
	}
	s := subject{config: c, pod: pod, labels: namespaceLabels, options: options}
	out := &patch{}
	if options.rewriteProbes {
		s.probes = rewriteAll(pod, out)
	}
	annotations := map[string]string{}
	s.prestop = hookAll(pod, c.token(), out)
	if s.app, err = s.metrics(annotations); err != nil {
		return nil, nil, err
	}
	injected, err := s.containers(out)
	if err != nil {
		return nil, nil, err
	}
	added := s.volumes(out)
	s.pullSecrets(out)
	if err := s.annotate(annotations, injected, added); err != nil {
		return nil, nil, err
	}
	s.statsAnnotations(annotations)
	out.entries("/metadata/annotations", pod.Annotations, annotations)
	out.entries("/metadata/labels", pod.Labels, s.podLabels())
	return out.operations, append(append(idleAnnotations(pod.Annotations), warnings...), s.drainWarning()...), nil
}

// containers takes the user's overrides out of their lists and puts the merged containers first.
func (s subject) containers(out *patch) ([]string, error) {
	override := map[string]*corev1.Container{}
	take := func(list []corev1.Container, path string) (left int) {
		left = len(list)
		for i := len(list) - 1; i >= 0; i-- {
			if isOurs(list[i].Name) {
				override[list[i].Name] = &list[i]
				out.remove(path + "/" + strconv.Itoa(i))
				left--
			}
		}
		return left
	}
	take(s.pod.Spec.Containers, "/spec/containers")
	left := take(s.pod.Spec.InitContainers, "/spec/initContainers")
	proxy, err := s.proxyContainer()
	if err != nil {
		return nil, err
	}
	ours := []corev1.Container{s.initContainer(), proxy}
	if s.options.capturesNothing() {
		ours = ours[1:]
	}
	var names []string
	for i := range ours {
		if ours[i], err = merge(ours[i], override[ours[i].Name]); err != nil {
			return nil, err
		}
		names = append(names, ours[i].Name)
	}
	if left == 0 {
		out.add("/spec/initContainers", ours)
		return names, nil
	}
	for i := range ours {
		out.add("/spec/initContainers/"+strconv.Itoa(i), ours[i])
	}
	return names, nil
}

// volumes adds ours; a volume of the user with the same name is an override and stays.
func (s subject) volumes(out *patch) []string {
	var names []string
	var missing []corev1.Volume
	for _, v := range append(volumes(), s.options.volumes...) {
		names = append(names, v.Name)
		if !slices.ContainsFunc(s.pod.Spec.Volumes, func(have corev1.Volume) bool { return have.Name == v.Name }) {
			missing = append(missing, v)
		}
	}
	if len(s.pod.Spec.Volumes) == 0 {
		out.add("/spec/volumes", missing)
		return names
	}
	for _, v := range missing {
		out.add("/spec/volumes/-", v)
	}
	return names
}

// pullSecrets adds the Secrets that the pod does not name. The kubelet takes those that are there; one that is missing in
// the pod's namespace keeps nothing from starting.
func (s subject) pullSecrets(out *patch) {
	var missing []corev1.LocalObjectReference
	for _, name := range s.config.PullSecrets {
		if one := (corev1.LocalObjectReference{Name: name}); !slices.Contains(s.pod.Spec.ImagePullSecrets, one) && !slices.Contains(missing, one) {
			missing = append(missing, one)
		}
	}
	switch {
	case len(missing) == 0:
	case len(s.pod.Spec.ImagePullSecrets) == 0:
		out.add("/spec/imagePullSecrets", missing)
	default:
		for _, one := range missing {
			out.add("/spec/imagePullSecrets/-", one)
		}
	}
}

// metrics points scrapers at the agent and returns where the application's own page is, nil when it has none.
func (s subject) metrics(set map[string]string) (*metric.App, error) {
	have := s.pod.Annotations
	if !s.options.mergeMetrics || have[annotationScrape] == "false" {
		return nil, nil
	}
	var app *metric.App
	if have[annotationScrape] == "true" && have[annotationPort] != strconv.Itoa(ownport.Status) {
		app = &metric.App{Port: have[annotationPort], Path: have[annotationPath], Scheme: have[annotationScheme]}
		text, err := app.Encode()
		if err != nil {
			return nil, err
		}
		if _, err := metric.ParseApp(text, "localhost"); err != nil {
			return nil, fmt.Errorf("metadata.annotations[prometheus.io/*]: %w; correct it, or set %s=false", err, annotationMerge)
		}
	}
	set[annotationScrape] = "true"
	set[annotationPort] = strconv.Itoa(ownport.Status)
	set[annotationPath] = metricsPath
	if have[annotationScheme] != "" {
		set[annotationScheme] = "http"
	}
	return app, nil
}

func (s subject) annotate(set map[string]string, containers, volumes []string) error {
	state, err := json.Marshal(status{InitContainers: containers, Volumes: volumes, Revision: s.config.Revision})
	if err != nil {
		return fmt.Errorf("encode annotation %s: %w", placement.AnnotationState, err)
	}
	set[placement.AnnotationState] = string(state)
	if network := s.config.CNINetwork; s.config.CNI && network != "" && !s.options.capturesNothing() {
		set[annotationNetworks] = network
		if have := s.pod.Annotations[annotationNetworks]; have != "" {
			set[annotationNetworks] = have + "," + network
		}
	}
	if _, ok := s.pod.Annotations[annotationDefault]; !ok {
		for _, c := range s.pod.Spec.Containers {
			if !isOurs(c.Name) {
				set[annotationDefault] = c.Name
				break
			}
		}
	}
	return nil
}

// podLabels are those that the pod does not set itself.
func (s subject) podLabels() map[string]string {
	out := map[string]string{
		"security.istio.io/tlsMode":           "istio",
		placement.LabelRevision:               s.config.Revision,
		"service.istio.io/canonical-name":     canonicalName(s.pod),
		"service.istio.io/canonical-revision": canonicalRevision(s.pod),
	}
	for name := range out {
		if _, ok := s.pod.Labels[name]; ok {
			delete(out, name)
		}
	}
	return out
}

// drainWarning tells that a wish cannot be had: when the pod's grace period is over, everything is killed.
func (s subject) drainWarning() []string {
	got := s.drain()
	if s.options.settings.Drain == 0 || got == strconv.FormatInt(s.wantedDrain(), 10)+"s" {
		return nil
	}
	return []string{fmt.Sprintf("spec.terminationGracePeriodSeconds: leaves the proxy %s to drain, but its settings ask for %s",
		got, s.options.settings.Drain)}
}
