// SPDX-License-Identifier: Apache-2.0

package redirect

// VerifyContainer is the init container of a pod whose traffic a CNI plugin
// redirects: it has the arguments of the redirection and Verify, needs no right,
// and ends with ExitUnmarked where the plugin was not at work.
const (
	VerifyContainer = "istio-validation"
	Verify          = "--verify"
	ExitUnmarked    = 126
)
