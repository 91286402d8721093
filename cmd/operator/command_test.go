// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
)

func TestImageDigests(t *testing.T) {
	digest := "sha256:" + strings.Repeat("0a", 32)
	for flags, want := range map[string]string{
		"--image-digest=controlplane=" + digest + ",proxy=" + digest: "",
		"--image-digest=operator=" + digest:                          "controlplane, proxy and cni",
		"--image-digest=proxy=sha256:0a":                             "64 hexadecimal digits",
		"--image-digest=proxy=" + digest + ",controlplane=v0.1.0":    "64 hexadecimal digits",
		"--image-digest=controlplane=" + strings.ToUpper(digest):     "64 hexadecimal digits",
	} {
		o, c := flagged()
		if err := c.ParseFlags([]string{flags}); err != nil {
			t.Fatal(err)
		}
		platform, err := o.platform()
		if want == "" {
			if err != nil || string(platform.Digests.ControlPlane) != digest || string(platform.Digests.Proxy) != digest {
				t.Errorf("%s: %+v, %v", flags, platform, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", flags, err, want)
		}
	}
}
