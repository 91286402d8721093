// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Components holds the Kubernetes settings of what is not a gateway.
type Components struct {
	// controlPlane is the control plane's Deployment.
	// +optional
	ControlPlane *ControlPlane `json:"controlPlane,omitempty"`
	// cni is the CNI plugin on every node, which redirects pods' traffic to their
	// proxies, so that pods need no right to.
	// +optional
	CNI *CNI `json:"cni,omitempty"`
}

// ControlPlane is the control plane's Deployment.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.replicas) && has(self.autoscaling))",message="set replicas or autoscaling, not both",fieldPath=".replicas"
type ControlPlane struct {
	// enabled says whether the control plane is installed.
	// +optional
	Enabled *bool `json:"enabled,omitempty"`
	// serviceAnnotations are added to the control plane's Service.
	// +optional
	ServiceAnnotations map[string]string `json:"serviceAnnotations,omitempty"`

	Workload `json:",inline"`
}

// Workload holds the settings that every Deployment of ours has.
type Workload struct {
	// replicas is the number of pods; not together with autoscaling.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	Replicas *int32 `json:"replicas,omitempty"`
	// autoscaling gives the number of pods to a HorizontalPodAutoscaler.
	// +optional
	Autoscaling *Autoscaling `json:"autoscaling,omitempty"`
	// resources are the requests and limits of the main container.
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`
	// nodeSelector restricts the nodes.
	// +optional
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`
	// tolerations allow nodes with taints.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`
	// affinity holds scheduling preferences.
	// +optional
	Affinity *corev1.Affinity `json:"affinity,omitempty"`
	// podAnnotations are added to the pods.
	// +optional
	PodAnnotations map[string]string `json:"podAnnotations,omitempty"`
	// podLabels are added to the pods.
	// +optional
	PodLabels map[string]string `json:"podLabels,omitempty"`
	// env are more environment variables of the main container.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=128
	Env []corev1.EnvVar `json:"env,omitempty"`
	// priorityClassName is the priority of the pods.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	PriorityClassName string `json:"priorityClassName,omitempty"`
	// topologySpreadConstraints say how the pods are spread. Not set spreads them
	// over zones and nodes where that is possible.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	TopologySpreadConstraints []corev1.TopologySpreadConstraint `json:"topologySpreadConstraints,omitempty"`
	// podDisruptionBudget bounds how many pods a node that is drained may take at a
	// time. Not set means one, where there are several.
	// +optional
	PodDisruptionBudget *DisruptionBudget `json:"podDisruptionBudget,omitempty"`
	// strategy says how pods are replaced. Not set makes one new pod at a time, and
	// ends an old one when that one is ready.
	// +optional
	Strategy *appsv1.DeploymentStrategy `json:"strategy,omitempty"`
	// image is the whole reference of the main container's image, over the
	// registry, the tag and the digests of spec.image.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^[a-zA-Z0-9]([-a-zA-Z0-9.:_/@]*[a-zA-Z0-9])?$`
	Image string `json:"image,omitempty"`
}

// DisruptionBudget is the budget of a PodDisruptionBudget: numbers of pods, or
// percentages.
//
// +kubebuilder:validation:XValidation:rule="has(self.minAvailable) != has(self.maxUnavailable)",message="set exactly one of minAvailable and maxUnavailable"
type DisruptionBudget struct {
	// minAvailable is how many pods stay.
	// +optional
	MinAvailable *intstr.IntOrString `json:"minAvailable,omitempty"`
	// maxUnavailable is how many pods may go.
	// +optional
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`
}

// Autoscaling gives the number of pods to a HorizontalPodAutoscaler.
//
// +kubebuilder:validation:XValidation:rule="!has(self.min) || self.min <= self.max",message="min must not be greater than max",fieldPath=".min"
type Autoscaling struct {
	// min is the smallest number of pods. Not set means 1.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	Min *int32 `json:"min,omitempty"`
	// max is the largest number of pods.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	Max int32 `json:"max"`
	// targetCPU is the wished use of the requested CPU, in percent. Not set
	// means 80.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	TargetCPU *int32 `json:"targetCPU,omitempty"`
}

// Gateways are the gateway deployments that the operator installs. A gateway
// of the same name in the profile is changed, not replaced.
//
// +kubebuilder:validation:XValidation:rule="!has(self.ingress) || !has(self.egress) || self.ingress.all(i, !self.egress.exists(e, e.name == i.name))",message="a name is used for an ingress and an egress gateway; names must be unique",fieldPath=".egress"
// +kubebuilder:validation:XValidation:rule="!has(self.eastWest) || (!has(self.ingress) || self.ingress.all(i, !self.eastWest.exists(e, e.name == i.name))) && (!has(self.egress) || self.egress.all(i, !self.eastWest.exists(e, e.name == i.name)))",message="a name is used for an east-west gateway and another one; names must be unique",fieldPath=".eastWest"
type Gateways struct {
	// ingress are gateways at the entry of the mesh.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Ingress []Gateway `json:"ingress,omitempty"`
	// egress are gateways at the exit of the mesh.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Egress []Gateway `json:"egress,omitempty"`
	// eastWest are gateways between the networks of a mesh. Their ports are, when
	// not set, 15443 for the traffic of sidecars, 15012 and 15017 for the control
	// plane, and 15021.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	EastWest []Gateway `json:"eastWest,omitempty"`
}

// Gateway is one gateway: a Deployment and a Service of the same name.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.replicas) && has(self.autoscaling))",message="set replicas or autoscaling, not both",fieldPath=".replicas"
type Gateway struct {
	// name is the name of the Deployment and the Service.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=50
	// +kubebuilder:validation:Pattern=`^[a-z]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`
	// namespace is where the gateway runs; it is created if it is missing. Not
	// set means the control plane's namespace.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('kube-')",message="namespaces that start with kube- belong to Kubernetes"
	Namespace string `json:"namespace,omitempty"`
	// enabled says whether the gateway is installed; false removes a gateway of
	// the profile. Not set means true.
	// +optional
	Enabled *bool `json:"enabled,omitempty"`
	// labels are added to the pods and are what Gateway objects select. Not set
	// means app: NAME and istio: ingressgateway, egressgateway or eastwestgateway.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	Labels map[string]string `json:"labels,omitempty"`
	// service is the gateway's Service.
	// +optional
	Service *GatewayService `json:"service,omitempty"`

	Workload `json:",inline"`
}

// ServiceType is the type of a gateway's Service.
//
// +kubebuilder:validation:Enum=LoadBalancer;NodePort;ClusterIP
type ServiceType string

// GatewayService is a gateway's Service. What the cluster chooses (nodePort,
// clusterIP, the load balancer's address) stays the cluster's.
type GatewayService struct {
	// type is LoadBalancer, NodePort or ClusterIP. Not set means LoadBalancer,
	// and ClusterIP for egress.
	// +optional
	Type ServiceType `json:"type,omitempty"`
	// ports replace the ports of the profile.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Ports []GatewayPort `json:"ports,omitempty"`
	// annotations are added to the Service.
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
	// loadBalancerIP asks for an address, where the cluster knows how.
	// +optional
	// +kubebuilder:validation:MaxLength=45
	LoadBalancerIP string `json:"loadBalancerIP,omitempty"`
	// loadBalancerSourceRanges restricts the clients, as CIDRs.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=64
	LoadBalancerSourceRanges []string `json:"loadBalancerSourceRanges,omitempty"`
	// externalTrafficPolicy is Cluster or Local (keeps the client's address).
	// +optional
	// +kubebuilder:validation:Enum=Cluster;Local
	ExternalTrafficPolicy string `json:"externalTrafficPolicy,omitempty"`
}

// GatewayPort is a port of a gateway's Service.
type GatewayPort struct {
	// name is the port's name.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`
	// port is the port of the Service.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port"`
	// targetPort is the port of the pod. Not set means the same as port, but
	// 8080 for 80 and 8443 for 443, because the proxy is not root.
	// +optional
	// +kubebuilder:validation:Minimum=1024
	// +kubebuilder:validation:Maximum=65535
	TargetPort *int32 `json:"targetPort,omitempty"`
	// protocol is TCP (when not set) or UDP.
	// +optional
	// +kubebuilder:validation:Enum=TCP;UDP
	Protocol string `json:"protocol,omitempty"`
	// nodePort is the port of the nodes. Not set leaves the choice to the cluster.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	NodePort *int32 `json:"nodePort,omitempty"`
}
