// SPDX-License-Identifier: Apache-2.0

package route

import (
	"strconv"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	statev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/set_filter_state/v3"
	namev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_to_metadata/v3"
	setstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_filter_state/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/meshwright/meshwright/internal/envoy/typed"
	"github.com/meshwright/meshwright/internal/ir"
)

// filters is what the filters of the listener do for one rule; the listeners
// themselves stay as they are whatever rules come and go.
func filters(in *ir.ResolvedRule) map[string]*anypb.Any {
	out := map[string]*anypb.Any{}
	if in.CORS != nil {
		out[typed.FilterCORS] = typed.Config(cors(in.CORS))
	}
	if in.Fault != nil {
		out[typed.FilterFault] = typed.Config(fault(in.Fault))
	}
	if in.Session != nil {
		out[typed.FilterSession] = typed.Config(session(in.Session))
	}
	for i := range in.Targets {
		if port := in.Targets[i].Dynamic; port != 0 {
			out[typed.FilterName], out[typed.FilterState] = nameOnly, calledAt(port)
			break
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// keyName is the name that a request is for, in the metadata of its route's filters.
const keyName = "name"

// nameOnly keeps the name of a request's authority. Its port is the client's word, and
// the rule's is what counts.
var nameOnly = typed.Config(&namev3.Config{RequestRules: []*namev3.Config_Rule{{
	Header: ":authority",
	OnHeaderPresent: &namev3.Config_KeyValuePair{
		MetadataNamespace: typed.MetadataNamespace, Key: keyName,
		RegexValueRewrite: &matcherv3.RegexMatchAndSubstitute{Pattern: &matcherv3.RegexMatcher{Regex: ":[0-9]*$"}},
	},
}}})

// calledAt has a cluster that resolves names call that of the request at a port.
// See https://www.envoyproxy.io/docs/envoy/latest/configuration/advanced/well_known_filter_state.
func calledAt(port uint16) *anypb.Any {
	value := func(key, format string) *statev3.FilterStateValue {
		return &statev3.FilterStateValue{
			Key: &statev3.FilterStateValue_ObjectKey{ObjectKey: key},
			Value: &statev3.FilterStateValue_FormatString{FormatString: &corev3.SubstitutionFormatString{
				Format: &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: &corev3.DataSource{
					Specifier: &corev3.DataSource_InlineString{InlineString: format},
				}},
			}},
		}
	}
	name := value("envoy.upstream.dynamic_host", "%DYNAMIC_METADATA("+typed.MetadataNamespace+":"+keyName+")%")
	name.FactoryKey = "envoy.string"
	return typed.Config(&setstatev3.Config{OnRequestHeaders: []*statev3.FilterStateValue{
		name, value("envoy.upstream.dynamic_port", strconv.Itoa(int(port))),
	}})
}
