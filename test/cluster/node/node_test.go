// SPDX-License-Identifier: Apache-2.0

package node

import (
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/meshwright/meshwright/test/cluster/address"
	"github.com/meshwright/meshwright/test/cluster/binary"
)

func TestNames(t *testing.T) {
	for _, good := range []string{"a", "east", "e-1", strings.Repeat("x", 32)} {
		if l, err := NewLayout("/c", good); err != nil || l.Dir != "/c/"+good {
			t.Errorf("%q: %+v, %v", good, l, err)
		}
	}
	for _, bad := range []string{"", "East", "1st", "-a", "a-", "a/b", "..", "a b", strings.Repeat("x", 33)} {
		if _, err := NewLayout("/c", bad); err == nil || !strings.Contains(err.Error(), "lower-case") {
			t.Errorf("%q was accepted or not explained: %v", bad, err)
		}
	}
}

func cluster(t *testing.T) *Cluster {
	t.Helper()
	layout, err := NewLayout(t.TempDir(), "east")
	if err != nil {
		t.Fatal(err)
	}
	cache, err := binary.Open("..", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return &Cluster{
		Layout: layout, Binaries: cache, Out: io.Discard, Options: Options{Region: "r", Zone: "z"},
		claim: address.Claim{Plan: address.Plan{Base: 200, Index: 3}},
	}
}

// TestFilesAgreeOnAddresses: a range that stands in several files must be the
// same in all of them, or pods cannot reach services.
func TestFilesAgreeOnAddresses(t *testing.T) {
	c := cluster(t)
	if err := c.files(); err != nil {
		t.Fatal(err)
	}
	read := func(name string, into any) {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(c.Dir, "config", name))
		if err == nil {
			err = yaml.Unmarshal(text, into)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var kubelet struct {
		ClusterDNS []string
		CgroupRoot string
		MaxPods    int
	}
	read("kubelet.yaml", &kubelet)
	if len(kubelet.ClusterDNS) != 1 || kubelet.ClusterDNS[0] != c.claim.DNS().String() || kubelet.CgroupRoot != "/meshwright-3/pods" || kubelet.MaxPods != 250 {
		t.Errorf("kubelet: %+v", kubelet)
	}
	var proxy struct{ ClusterCIDR string }
	read("proxy.yaml", &proxy)
	if proxy.ClusterCIDR != c.claim.Pods().String() {
		t.Errorf("kube-proxy takes %s for the pods' range, want %s", proxy.ClusterCIDR, c.claim.Pods())
	}
	text, err := os.ReadFile(filepath.Join(c.Dir, "config", "cni", "10-pods.conflist"))
	if err != nil || !json.Valid(text) || !strings.Contains(string(text), c.claim.Pods().String()) {
		t.Errorf("the pod network's configuration (%v) lacks %s: %s", err, c.claim.Pods(), text)
	}
}

func TestStateOfDamagedFileIsNone(t *testing.T) {
	c := cluster(t)
	if s, err := c.readState(); s != nil || err != nil {
		t.Errorf("state before the first start: %+v, %v", s, err)
	}
	plan := c.claim.Plan
	if err := c.writeState(state{Boot: "b", Plan: &plan}); err != nil {
		t.Fatal(err)
	}
	if s, err := c.readState(); err != nil || s.Plan == nil || *s.Plan != plan || s.Ports != nil {
		t.Errorf("state came back as %+v, %v", s, err)
	}
	if err := os.WriteFile(c.stateFile(), []byte("{\"boot\":"), 0o644); err != nil {
		t.Fatal(err)
	}
	if s, err := c.readState(); s != nil || err != nil {
		t.Errorf("damaged state: %+v, %v", s, err)
	}
}

func TestCertificatesMakeKubeconfigs(t *testing.T) {
	c := cluster(t)
	if err := c.certificates(); err != nil {
		t.Fatal(err)
	}
	config, err := c.Client()
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != "https://"+c.claim.Node().String()+":6443" {
		t.Errorf("the kubeconfig leads to %s", config.Host)
	}
	before, err := os.ReadFile(c.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.certificates(); err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(c.Kubeconfig()); err != nil || string(after) != string(before) {
		t.Errorf("the second run made another kubeconfig (%v)", err)
	}
}

func TestBareServerAsksForNothingThatNobodyMakes(t *testing.T) {
	port := netip.MustParseAddrPort("127.0.0.1:7000")
	bare := strings.Join(apiServer{program: "a", pki: "/p", etcd: port, bind: port, advertise: port.Addr(), services: bareServices, bare: true}.args(), "\n")
	full := strings.Join(apiServer{program: "a", pki: "/p", etcd: port, bind: port, advertise: port.Addr(), services: bareServices}.args(), "\n")
	for flag, inFull := range map[string]bool{"--disable-admission-plugins=ServiceAccount": false, "--kubelet-preferred-address-types=InternalIP": true} {
		if strings.Contains(full, flag) != inFull || strings.Contains(bare, flag) == inFull {
			t.Errorf("flag %s stands in the wrong server", flag)
		}
	}
}

// TestLeftoversSeeProcesses: the check after `down` must be able to fail.
func TestLeftoversSeeProcesses(t *testing.T) {
	dir := t.TempDir()
	marker := filepath.Join(dir, "marker")
	cmd := exec.Command("sh", "-c", "read line # "+marker)
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	found, err := processesOf(dir)
	if err != nil || len(found) != 1 {
		t.Errorf("found %v (%v), want the one process that names %s", found, err, dir)
	}
	if err := errors.Join(input.Close(), ignoreExit(cmd.Wait())); err != nil {
		t.Fatal(err)
	}
	if found, err := processesOf(dir); err != nil || len(found) != 0 {
		t.Errorf("found %v (%v) after its end", found, err)
	}
}

// ignoreExit: the shell's read fails at the end of its input.
func ignoreExit(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}
