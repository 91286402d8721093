// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package gitops

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/meshwright/meshwright/test/e2e/env"
)

// gitRepository is the kind of the source that the Kustomizations read.
var gitRepository = schema.GroupVersionKind{Group: "source.toolkit.fluxcd.io", Version: "v1", Kind: "GitRepository"}

const branch = "main"

// repository is a Git repository of the cluster's owner. Publish does for it what Flux's source-controller does: that
// one cannot be built from Go modules, as github.com/fluxcd/pkg/artifact, which it is made of, is not to be had there.
type repository struct {
	dir    string
	server *httptest.Server

	mu       sync.Mutex
	archives map[string][]byte
}

// newRepository makes a repository with what charts and config hold, pointed at the images of this build.
func newRepository(t *testing.T) *repository {
	t.Helper()
	r := &repository{dir: t.TempDir(), archives: map[string][]byte{}}
	r.server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.server.Close)
	for _, dir := range []string{"charts", "config"} {
		must(t, os.CopyFS(filepath.Join(r.dir, dir), os.DirFS(filepath.Join(root, dir))))
	}
	must(t, r.point(env.DefaultRegistry, cluster.Registry))
	must(t, r.git("init", "--quiet", "--initial-branch="+branch))
	return r
}

// point puts another registry and tag of images into all manifests.
func (r *repository) point(from, to string) error {
	return filepath.WalkDir(r.dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		changed := bytes.ReplaceAll(text, []byte(from), []byte(to))
		changed = bytes.ReplaceAll(changed, []byte(":"+env.DefaultTag+"\n"), []byte(":"+cluster.Tag+"\n"))
		changed = bytes.ReplaceAll(changed, []byte("appVersion: "+env.DefaultTag+"\n"), []byte("appVersion: "+cluster.Tag+"\n"))
		changed = bytes.ReplaceAll(changed, []byte("--image-tag=\n"), []byte("--image-tag="+cluster.Tag+"\n"))
		return os.WriteFile(path, changed, 0o644)
	})
}

func (r *repository) serve(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	archive, ok := r.archives[strings.TrimPrefix(req.URL.Path, "/")]
	r.mu.Unlock()
	if !ok {
		http.NotFound(w, req)
		return
	}
	_, _ = w.Write(archive)
}

func (r *repository) git(args ...string) error {
	_, err := r.output(args...)
	return err
}

func (r *repository) output(args ...string) ([]byte, error) {
	identity := []string{"-c", "user.name=owner", "-c", "user.email=owner@example.com", "-c", "commit.gpgsign=false"}
	cmd := exec.Command("git", append(identity, args...)...)
	cmd.Dir = r.dir
	var problem bytes.Buffer
	cmd.Stderr = &problem
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(problem.String()))
	}
	return out, nil
}

// write changes a file; commit makes it count.
func (r *repository) write(path, text string) error {
	return os.WriteFile(filepath.Join(r.dir, path), []byte(text), 0o644)
}

// commit records what the files are now and publishes it. It returns the revision as Flux names it.
func (r *repository) commit(ctx context.Context, message string) (string, error) {
	if err := r.git("add", "--all"); err != nil {
		return "", err
	}
	if err := r.git("commit", "--quiet", "--message="+message); err != nil {
		return "", err
	}
	return r.publish(ctx)
}

// publish packs the last commit and tells the cluster where it is.
func (r *repository) publish(ctx context.Context) (string, error) {
	hash, err := r.output("rev-parse", "HEAD")
	if err != nil {
		return "", err
	}
	archive, err := r.output("archive", "--format=tar.gz", "HEAD")
	if err != nil {
		return "", err
	}
	id := strings.TrimSpace(string(hash))
	revision := branch + "@sha1:" + id
	r.mu.Lock()
	r.archives[id+".tar.gz"] = archive
	r.mu.Unlock()
	sum := sha256.Sum256(archive)
	now := time.Now().UTC().Format(time.RFC3339)
	u, err := cluster.Get(ctx, gitRepository, fluxNamespace, "fleet")
	if err != nil {
		return "", err
	}
	u.Object["status"] = map[string]any{
		"observedGeneration": u.GetGeneration(),
		"artifact": map[string]any{
			"path": id + ".tar.gz", "url": r.server.URL + "/" + id + ".tar.gz", "revision": revision,
			"digest": "sha256:" + hex.EncodeToString(sum[:]), "size": int64(len(archive)), "lastUpdateTime": now,
		},
		"conditions": []any{map[string]any{
			"type": "Ready", "status": "True", "reason": "Succeeded", "message": "stored artifact for revision " + revision,
			"lastTransitionTime": now, "observedGeneration": u.GetGeneration(),
		}},
	}
	return revision, updateStatus(ctx, u)
}

func updateStatus(ctx context.Context, u *unstructured.Unstructured) error {
	client, err := cluster.Resource(ctx, u.GroupVersionKind(), u.GetNamespace())
	if err != nil {
		return err
	}
	_, err = client.UpdateStatus(ctx, u, metav1.UpdateOptions{})
	return err
}
