// SPDX-License-Identifier: Apache-2.0

package ir

// Unknown is what becomes of what applications send to hosts and addresses that
// nobody knows. The zero value sends it where it was meant to go.
type Unknown struct {
	Refused bool
	Dynamic bool       // requests go to where the name that they are for leads now
	Proxy   ClusterKey // that it goes to instead; zero: none
	Origin  Origin     // of the object that says so; zero: the mesh's settings do
}

// Origins is the objects that say it.
func (u Unknown) Origins() []Origin {
	if u.Origin == (Origin{}) {
		return nil
	}
	return []Origin{u.Origin}
}

// Cluster is the name of the cluster that unknown connections go to.
func (u Unknown) Cluster() string {
	switch {
	case u.Refused:
		return ClusterBlackHole
	case u.IsProxied():
		return u.Proxy.Name()
	}
	return ClusterPassthrough
}

// IsProxied tells whether it goes to a cluster of the mesh.
func (u Unknown) IsProxied() bool { return u.Proxy != ClusterKey{} }

// Needs is the clusters of the mesh that it goes to.
func (u Unknown) Needs() []string {
	if u.IsProxied() {
		return []string{u.Cluster()}
	}
	return nil
}
