// SPDX-License-Identifier: Apache-2.0

package meshconfig

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// Modes of IngressControllerMode: which Ingresses of Kubernetes are served.
const (
	IngressOff     = "OFF"     // none
	IngressStrict  = "STRICT"  // those of a class of this mesh
	IngressDefault = "DEFAULT" // those without any class as well
)

// Ingress is how Ingresses of Kubernetes are served.
type Ingress struct {
	// IngressControllerMode is IngressStrict when not set.
	IngressControllerMode string `json:"ingressControllerMode,omitempty"`
	// IngressClass is what the annotation kubernetes.io/ingress.class must say; default istio.
	IngressClass string `json:"ingressClass,omitempty"`
	// IngressService is the Service, NAME in the mesh's namespace or NAMESPACE/NAME, whose addresses Ingresses get;
	// default istio-ingressgateway.
	IngressService string `json:"ingressService,omitempty"`
	// IngressSelector is the value of the label istio of the gateway's pods; default ingressgateway.
	IngressSelector string `json:"ingressSelector,omitempty"`
}

func defaultIngress() Ingress {
	return Ingress{
		IngressControllerMode: IngressStrict, IngressClass: "istio",
		IngressService: "istio-ingressgateway", IngressSelector: "ingressgateway",
	}
}

// Service is the namespace, "" for that of the mesh, and the name of IngressService.
func (i Ingress) Service() (namespace, name string) {
	if namespace, name, ok := strings.Cut(i.IngressService, "/"); ok {
		return namespace, name
	}
	return "", i.IngressService
}

func (i Ingress) check() []error {
	var errs []error
	switch m := i.IngressControllerMode; m {
	case IngressOff, IngressStrict, IngressDefault:
	default:
		errs = append(errs, fmt.Errorf("ingressControllerMode: %q is none of %s, %s and %s", m, IngressOff, IngressStrict, IngressDefault))
	}
	namespace, name := i.Service()
	if problems := validation.IsDNS1123Label(name); len(problems) > 0 {
		errs = append(errs, fmt.Errorf("ingressService: %q: %s", i.IngressService, strings.Join(problems, "; ")))
	}
	if namespace != "" {
		if problems := validation.IsDNS1123Label(namespace); len(problems) > 0 {
			errs = append(errs, fmt.Errorf("ingressService: %q: %s", i.IngressService, strings.Join(problems, "; ")))
		}
	}
	if problems := validation.IsValidLabelValue(i.IngressSelector); len(problems) > 0 || i.IngressSelector == "" {
		errs = append(errs, fmt.Errorf("ingressSelector: %q is no value of a label of pods", i.IngressSelector))
	}
	return errs
}
