// SPDX-License-Identifier: Apache-2.0

package proxyconfig

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of what users may say.
const (
	maxConcurrency   = 1024
	maxVariables     = 64
	maxVariableName  = 256
	maxVariableValue = 2048
)

// variableName is what every shell and library takes.
var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// ownVariables tell the agent who it is; users must not change that.
var ownVariables = []string{
	"POD_NAME", "POD_NAMESPACE", "POD_IP", "POD_IPS", "SERVICE_ACCOUNT", "NODE_NAME", "APP_PROBES", "APP_METRICS", "PRESTOP_TOKEN",
}

// CheckVariable tells what is wrong with an environment variable.
func CheckVariable(name, value string) error {
	switch {
	case len(name) > maxVariableName || !variableName.MatchString(name):
		return fmt.Errorf("a name must be letters, digits and _, must not begin with a digit, and have at most %d characters", maxVariableName)
	case slices.Contains(ownVariables, name):
		return fmt.Errorf("is set by the mesh, which tells the proxy of its pod with it")
	case len(value) > maxVariableValue || !utf8.ValidString(value) || strings.ContainsRune(value, 0):
		return fmt.Errorf("the value must be text of at most %d bytes", maxVariableValue)
	}
	if name == DNSCapture {
		if _, err := strconv.ParseBool(value); err != nil {
			return fmt.Errorf("%q is neither true nor false", value)
		}
	}
	return nil
}

// CheckVariables tells whether there are too many.
func CheckVariables(n int) error {
	if n > maxVariables {
		return fmt.Errorf("%d variables are more than the allowed %d", n, maxVariables)
	}
	return nil
}

// CheckConcurrency tells whether a number of worker threads can be meant.
func CheckConcurrency(n int32) error {
	if n < 0 || n > maxConcurrency {
		return fmt.Errorf("%d must be from 0 (one for each CPU) to %d", n, maxConcurrency)
	}
	return nil
}

// ImageTypes are the variants of the proxy's image. There is one image, with nothing in it but the proxy and what it needs,
// so two of the names mean the same.
var ImageTypes = []string{"default", "distroless"}

// CheckImageType tells whether there is such an image.
func CheckImageType(name string) error {
	if name != "" && !slices.Contains(ImageTypes, name) {
		return fmt.Errorf("there is no proxy image of type %q, only %s", name, strings.Join(ImageTypes, " and "))
	}
	return nil
}
