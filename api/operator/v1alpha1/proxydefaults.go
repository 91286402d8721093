// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// ProxyDefaults are settings of injected proxies and of gateways.
type ProxyDefaults struct {
	// concurrency is the number of worker threads, 0 for one per CPU. Not set
	// goes by the CPU limit.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1024
	Concurrency *int32 `json:"concurrency,omitempty"`
	// drainDuration is the longest time that a proxy serves what is under way
	// when its pod ends. Not set means 45s.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(s|m|h))+$`
	DrainDuration string `json:"drainDuration,omitempty"`
	// terminationDrainDuration is the same, and goes before drainDuration.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(s|m|h))+$`
	TerminationDrainDuration string `json:"terminationDrainDuration,omitempty"`
	// holdApplicationUntilProxyStarts changes nothing: proxies are native
	// sidecars, which serve before the application starts.
	// +optional
	HoldApplicationUntilProxyStarts *bool `json:"holdApplicationUntilProxyStarts,omitempty"`
	// proxyMetadata are environment variables of the proxies. The control plane
	// is told those that start with ISTIO_META_. ISTIO_META_DNS_CAPTURE=true lets
	// the proxies' agents answer the applications' DNS queries.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	ProxyMetadata map[string]string `json:"proxyMetadata,omitempty"`
	// image is the variant of the proxies' image.
	// +optional
	Image *ProxyImage `json:"image,omitempty"`
	// proxyStatsMatcher are statistics of Envoy that proxies keep besides their own.
	// +optional
	ProxyStatsMatcher *ProxyStatsMatcher `json:"proxyStatsMatcher,omitempty"`
	// gatewayTopology is what stands in front of gateways.
	// +optional
	GatewayTopology *GatewayTopology `json:"gatewayTopology,omitempty"`
	// proxyHeaders are the headers that proxies add to what they pass on.
	// +optional
	ProxyHeaders *ProxyHeaders `json:"proxyHeaders,omitempty"`
}

// ProxyImage is the variant of the proxies' image.
type ProxyImage struct {
	// imageType is default or distroless, which is the same image.
	// +optional
	// +kubebuilder:validation:Enum="";default;distroless
	ImageType string `json:"imageType,omitempty"`
}

// ProxyStatsMatcher chooses statistics of Envoy by their names.
type ProxyStatsMatcher struct {
	// inclusionPrefixes are beginnings of names.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=512
	// +kubebuilder:validation:items:Pattern=`^[^,]+$`
	InclusionPrefixes []string `json:"inclusionPrefixes,omitempty"`
	// inclusionSuffixes are ends of names.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=512
	// +kubebuilder:validation:items:Pattern=`^[^,]+$`
	InclusionSuffixes []string `json:"inclusionSuffixes,omitempty"`
	// inclusionRegexps are regular expressions for names.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=512
	// +kubebuilder:validation:items:Pattern=`^[^,]+$`
	InclusionRegexps []string `json:"inclusionRegexps,omitempty"`
}

// CertForwarding is what proxies do with the header x-forwarded-client-cert.
//
// +kubebuilder:validation:Enum=UNDEFINED;SANITIZE;FORWARD_ONLY;APPEND_FORWARD;SANITIZE_SET;ALWAYS_FORWARD_ONLY
type CertForwarding string

// GatewayTopology is what stands in front of gateways.
type GatewayTopology struct {
	// numTrustedProxies is how many proxies in front of a gateway are believed.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=64
	NumTrustedProxies int32 `json:"numTrustedProxies,omitempty"`
	// forwardClientCertDetails is what gateways do with x-forwarded-client-cert.
	// +optional
	ForwardClientCertDetails CertForwarding `json:"forwardClientCertDetails,omitempty"`
	// proxyProtocol lets gateways read the client's address from the PROXY
	// protocol.
	// +optional
	ProxyProtocol *ProxyProtocol `json:"proxyProtocol,omitempty"`
}

// ProxyProtocol has no settings.
type ProxyProtocol struct{}

// ProxyHeaders are the headers that proxies add to what they pass on.
type ProxyHeaders struct {
	// forwardedClientCert is what sidecars do with x-forwarded-client-cert.
	// +optional
	ForwardedClientCert CertForwarding `json:"forwardedClientCert,omitempty"`
	// setCurrentClientCertDetails is what is told of the client's certificate.
	// +optional
	SetCurrentClientCertDetails *ClientCertDetails `json:"setCurrentClientCertDetails,omitempty"`
	// requestId is the header x-request-id.
	// +optional
	RequestID *HeaderOff `json:"requestId,omitempty"`
	// server is the header server of answers.
	// +optional
	Server *ServerHeader `json:"server,omitempty"`
	// attemptCount is the header x-envoy-attempt-count.
	// +optional
	AttemptCount *HeaderOff `json:"attemptCount,omitempty"`
	// envoyDebugHeaders are headers such as x-envoy-upstream-service-time.
	// +optional
	EnvoyDebugHeaders *HeaderOff `json:"envoyDebugHeaders,omitempty"`
	// metadataExchangeHeaders changes nothing: there are no such headers.
	// +optional
	MetadataExchangeHeaders *MetadataExchangeHeaders `json:"metadataExchangeHeaders,omitempty"`
	// xForwardedHost is the header x-forwarded-host.
	// +optional
	XForwardedHost *HeaderOn `json:"xForwardedHost,omitempty"`
	// xForwardedPort is the header x-forwarded-port.
	// +optional
	XForwardedPort *HeaderOn `json:"xForwardedPort,omitempty"`
	// preserveHttp1HeaderCase keeps the case of the names of headers.
	// +optional
	PreserveHTTP1HeaderCase *bool `json:"preserveHttp1HeaderCase,omitempty"`
}

// HeaderOff is a header that is there unless it is switched off.
type HeaderOff struct {
	// disabled leaves it out.
	// +optional
	Disabled bool `json:"disabled,omitempty"`
}

// HeaderOn is a header that is only there when it is switched on.
type HeaderOn struct {
	// enabled adds it.
	// +optional
	Enabled bool `json:"enabled,omitempty"`
}

// ServerHeader is the header server of answers.
type ServerHeader struct {
	// disabled leaves the application's as it is.
	// +optional
	Disabled bool `json:"disabled,omitempty"`
	// value is what it says instead.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Value string `json:"value,omitempty"`
}

// ClientCertDetails is what is told of the client's certificate.
type ClientCertDetails struct {
	// subject tells its subject. Not set means true.
	// +optional
	Subject *bool `json:"subject,omitempty"`
	// cert tells all of it.
	// +optional
	Cert bool `json:"cert,omitempty"`
	// chain tells the whole chain.
	// +optional
	Chain bool `json:"chain,omitempty"`
	// dns tells its DNS names. Not set means true.
	// +optional
	DNS *bool `json:"dns,omitempty"`
	// uri tells its URI. Not set means true.
	// +optional
	URI *bool `json:"uri,omitempty"`
}

// MetadataExchangeHeaders changes nothing: there are no such headers.
type MetadataExchangeHeaders struct {
	// mode is IN_MESH or UNDEFINED.
	// +optional
	// +kubebuilder:validation:Enum=UNDEFINED;IN_MESH
	Mode string `json:"mode,omitempty"`
}
