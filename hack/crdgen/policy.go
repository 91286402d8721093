// SPDX-License-Identifier: Apache-2.0

package main

import (
	extensionsv1alpha1 "istio.io/api/extensions/v1alpha1"
	securityv1beta1 "istio.io/api/security/v1beta1"
	telemetryv1alpha1 "istio.io/api/telemetry/v1alpha1"
)

// extended is what users add to the proxies.
func extended() []kind {
	return []kind{
		{
			group: extensions, name: "TrafficExtension", plural: "trafficextensions", filled: true,
			about: "An extension of the proxies written in Wasm or Lua.",
			spec:  &extensionsv1alpha1.TrafficExtension{}, status: istioStatus, versions: []string{"v1alpha1"},
			rules: []rule{oneTarget, {"", "has(self.wasm) || has(self.lua)", "wasm or lua must be set", ""}},
		}, {
			group: extensions, name: "WasmPlugin", plural: "wasmplugins", filled: true,
			about: "A WebAssembly module that the proxies run.",
			spec:  &extensionsv1alpha1.WasmPlugin{}, status: istioStatus, versions: []string{"v1alpha1"},
			rules:  []rule{oneTargetOfThree},
			limits: atLeast(1, "url"),
		},
	}
}

// securityKinds says who may call whom.
func securityKinds() []kind {
	return []kind{
		{
			group: security, name: "AuthorizationPolicy", plural: "authorizationpolicies", short: []string{"ap"},
			about: "Who may call a workload.",
			spec:  &securityv1beta1.AuthorizationPolicy{}, status: istioStatus, versions: secured,
			columns: []column{{"Action", ".spec.action", "What becomes of a request that matches"}},
			rules: []rule{
				oneTargetOfThree,
				{
					"", "(has(self.action) && self.action == 'CUSTOM') == has(self.provider)",
					"a provider must be set when action is CUSTOM, and only then", "provider",
				},
				{"rules[].when[]", "has(self.values) || has(self.notValues)", "a condition needs values or notValues", "values"},
			},
		}, {
			group: security, name: "PeerAuthentication", plural: "peerauthentications", short: []string{"pa"},
			about: "Which connections a workload accepts.",
			spec:  &securityv1beta1.PeerAuthentication{}, status: istioStatus, versions: secured,
			columns: []column{{"Mode", ".spec.mtls.mode", "The mode of mutual TLS"}},
			rules: []rule{
				{
					"", "!has(self.portLevelMtls) || (has(self.selector) && has(self.selector.matchLabels) && size(self.selector.matchLabels) > 0)",
					"portLevelMtls needs a selector", "selector",
				},
				{
					"portLevelMtls", "self.all(port, port.matches('^[0-9]{1,5}$') && int(port) >= 1 && int(port) <= 65535)",
					"the keys are port numbers from 1 to 65535", "",
				},
			},
		}, {
			group: security, name: "RequestAuthentication", plural: "requestauthentications", short: []string{"ra"},
			about: "Which tokens of end users are valid.",
			spec:  &securityv1beta1.RequestAuthentication{}, status: istioStatus, versions: secured,
			rules: []rule{
				oneTargetOfThree,
				{
					"jwtRules[]", "!has(self.jwks) || (!has(self.jwksUri) && !has(self.jwks_uri))",
					"only one of jwks and jwksUri may be set", "jwks",
				},
			},
			aliases: []alias{{"jwtRules[]", "jwksUri", "jwks_uri"}},
		},
	}
}

// observed says what the proxies tell.
func observed() []kind {
	return []kind{{
		group: telemetry, name: "Telemetry", plural: "telemetries", short: []string{"telemetry"},
		about: "Which metrics, logs and traces the proxies give.",
		spec:  &telemetryv1alpha1.Telemetry{}, status: istioStatus, versions: []string{"v1alpha1", "v1"},
		rules: []rule{oneTargetOfThree},
	}}
}
