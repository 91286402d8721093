// SPDX-License-Identifier: Apache-2.0

package typed

// The names of the HTTP filters that do nothing on their own: rules tell them what
// to do, in the typed_per_filter_config of their routes under these names.
const (
	FilterCORS  = "envoy.filters.http.cors"
	FilterFault = "envoy.filters.http.fault"
)
