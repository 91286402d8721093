// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// Root is the path at which a control plane injects for its own revision; all others of this package are below it.
const Root = "/inject"

// Split gives a part of the workloads of a name to another revision.
type Split struct {
	// Revision takes the workloads whose place is not above UpTo.
	Revision string
	UpTo     Place
}

// Takes tells whether the workload is the other revision's.
func (s Split) Takes(w Workload) bool { return w.Place() <= s.UpTo }

// Path is what a webhook of injection asks for.
type Path struct {
	// Name is what namespaces say to be injected by whom is asked; "" is the asked revision's own.
	Name string
	// Split is set while workloads of the name are moved; it needs a Name.
	Split *Split
}

// String writes /inject, /inject/as/NAME or /inject/as/NAME/split/REVISION/PLACE. The API server takes a path only when
// each part of it is a DNS subdomain, so names are in it as they are.
func (p Path) String() string {
	switch {
	case p.Name == "":
		return Root
	case p.Split == nil:
		return Root + "/as/" + p.Name
	}
	return Root + "/as/" + p.Name + "/split/" + p.Split.Revision + "/" + p.Split.UpTo.String()
}

// ParsePath reads what String wrote. Names are DNS labels, as those of revisions.
func ParsePath(text string) (Path, error) {
	if text == Root {
		return Path{}, nil
	}
	rest, found := strings.CutPrefix(text, Root+"/as/")
	part := strings.Split(rest, "/")
	if !found || len(part) != 1 && (len(part) != 4 || part[1] != "split") {
		return Path{}, fmt.Errorf("%.200q is none of %[2]s, %[2]s/as/NAME, %[2]s/as/NAME/split/REVISION/PLACE", text, Root)
	}
	path := Path{Name: part[0]}
	if err := checkName(path.Name); err != nil || len(part) == 1 {
		return path, err
	}
	if err := checkName(part[2]); err != nil {
		return Path{}, err
	}
	upTo, err := ParsePlace(part[3])
	if err != nil {
		return Path{}, err
	}
	path.Split = &Split{Revision: part[2], UpTo: upTo}
	return path, nil
}

func checkName(name string) error {
	if problems := validation.IsDNS1123Label(name); len(problems) > 0 {
		return fmt.Errorf("%.80q is not the name of a revision: %s", name, strings.Join(problems, "; "))
	}
	return nil
}
