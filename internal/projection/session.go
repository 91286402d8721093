// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"cmp"
	"regexp"
	"slices"
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

// session reads a Service's labels, then its annotations; the header goes before the
// cookie. Services have no status for problems: a name that cannot be used has no effect.
func session(meta *metav1.ObjectMeta) *ir.Session {
	said := func(key string) string { return cmp.Or(meta.Labels[key], meta.Annotations[key]) }
	if name := strings.ToLower(said(labelSessionHeader)); name != "" {
		if checkHeader(name) != nil || slices.Contains(framing, name) {
			return nil
		}
		return &ir.Session{Header: name}
	}
	name, path, _ := strings.Cut(said(labelSessionCookie), ":")
	if path == "" {
		path = "/"
	}
	if checkHeader(name) != nil || !cookiePath.MatchString(path) { // names of cookies are tokens, too
		return nil
	}
	return &ir.Session{Cookie: name, Path: path}
}

// cookiePath is what may stand in an answer's cookie without ending it.
var cookiePath = regexp.MustCompile(`^/[-._~!$&'()*+,=:@%/A-Za-z0-9]{0,255}$`)
