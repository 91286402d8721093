// SPDX-License-Identifier: Apache-2.0

package ir

// Session keeps the requests of a client at the endpoint that answered its first one.
// What the client sends along names the endpoint, so that no proxy need remember it.
type Session struct {
	Cookie string // its name; empty: Header
	Path   string // of the cookie
	Header string
}
