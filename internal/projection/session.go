// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"cmp"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshwright/meshwright/internal/ir"
)

// Labels of Services that keep clients at one endpoint: the name of a cookie, perhaps
// with its path behind a colon, or of a header. Labels take no colon, so annotations of
// the same names are read, too.
const (
	labelSessionCookie = "istio.io/persistent-session"
	labelSessionHeader = "istio.io/persistent-session-header"
)

// session reads a Service's labels, then its annotations; the header goes before the cookie. Services have no
// status for problems: a name that is none has no effect.
func session(meta *metav1.ObjectMeta) *ir.Session {
	said := func(key string) string { return cmp.Or(meta.Labels[key], meta.Annotations[key]) }
	if name := said(labelSessionHeader); name != "" {
		if checkHeader(name) != nil {
			return nil
		}
		return &ir.Session{Header: strings.ToLower(name)}
	}
	name, path, _ := strings.Cut(said(labelSessionCookie), ":")
	switch {
	case name == "" || checkHeader(name) != nil: // both are tokens of HTTP
		return nil
	case !strings.HasPrefix(path, "/"):
		path = "/"
	}
	return &ir.Session{Cookie: name, Path: path}
}
