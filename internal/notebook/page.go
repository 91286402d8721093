// SPDX-License-Identifier: Apache-2.0

package notebook

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

const (
	// maxPage bounds the text of one ConfigMap; the API server's bound is 1 MiB.
	maxPage = 900 << 10
	// maxNamespace bounds what the workloads of one namespace take of it, because
	// pods say themselves which workload they are of.
	maxNamespace = maxPage / 4

	fieldManager = "meshwright-controlplane"
)

// page is one ConfigMap. It is the store of its reflector.
type page struct {
	set    kubernetes.Interface
	client corev1client.ConfigMapInterface
	name   string
	log    logr.Logger
	pupil  Pupil
	once   sync.Once
	seen   chan struct{} // closed when it was read, or is known not to exist

	mu      sync.Mutex
	read    bool
	version string // empty: there is no such ConfigMap
	texts   map[string]string
	entries map[Workload]*entry
	wanted  map[Workload]Uses // to be written
}

var _ cache.ReflectorStore = (*page)(nil)

func newPage(set kubernetes.Interface, namespace, name string, log logr.Logger) *page {
	return &page{
		set: set, client: set.CoreV1().ConfigMaps(namespace), name: name, log: log,
		seen: make(chan struct{}), entries: map[Workload]*entry{}, wanted: map[Workload]Uses{},
	}
}

// follow watches the ConfigMap until the context ends.
func (p *page) follow(ctx context.Context) {
	only := fields.OneTermEqualSelector(metav1.ObjectNameField, p.name).String()
	source := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = only
			return p.client.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector = only
			return p.client.Watch(ctx, o)
		},
	}
	// An outage is told by who reads what matters.
	silent := logr.Discard()
	r := cache.NewReflectorWithOptions(
		cache.ToListWatcherWithWatchListSemantics(source, p.set), &corev1.ConfigMap{}, p,
		cache.ReflectorOptions{Name: "notebook/" + p.name, Logger: &silent},
	)
	r.RunWithContext(klog.NewContext(ctx, silent))
}

// Add takes a new ConfigMap.
func (p *page) Add(o any) error { return p.Update(o) }

// Update takes a changed one.
func (p *page) Update(o any) error {
	m, ok := o.(*corev1.ConfigMap)
	if !ok {
		return fmt.Errorf("%T is no ConfigMap", o)
	}
	if m.Name == p.name {
		p.take(m)
	}
	return nil
}

// Delete takes that it is gone.
func (p *page) Delete(o any) error {
	if m, ok := o.(*corev1.ConfigMap); ok && m.Name == p.name {
		p.take(&corev1.ConfigMap{})
	}
	return nil
}

// Replace takes what there is.
func (p *page) Replace(list []any, _ string) error {
	found := &corev1.ConfigMap{}
	for _, o := range list {
		if m, ok := o.(*corev1.ConfigMap); ok && m.Name == p.name {
			found = m
		}
	}
	p.take(found)
	return nil
}

// Resync does nothing: what is held is what there is.
func (p *page) Resync() error { return nil }

// take reads the page, and lets the pupil learn what is new.
func (p *page) take(m *corev1.ConfigMap) {
	p.mu.Lock()
	fresh, entries := map[Workload]Uses{}, make(map[Workload]*entry, len(m.Data))
	for key, text := range m.Data {
		w, e := parse(key, text)
		if e == nil {
			continue
		}
		entries[w] = e
		if old := p.entries[w]; old == nil || !equal(old.Uses, e.Uses) {
			fresh[w] = e.Uses
		}
		if uses, ok := p.wanted[w]; ok && equal(union(e.Uses, uses), e.Uses) {
			delete(p.wanted, w)
		}
	}
	p.read, p.version, p.entries, p.texts = true, m.ResourceVersion, entries, m.Data
	p.mu.Unlock()
	if len(fresh) > 0 {
		p.pupil.Learn(fresh)
	}
	p.once.Do(func() { close(p.seen) })
}

func (p *page) want(w Workload, uses Uses) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wanted[w] = uses
}

// write brings the ConfigMap up to date. What it wrote stays wanted until the watch
// shows it.
func (p *page) write(ctx context.Context, now time.Time, sweep bool) {
	changes, version, ok := p.plan(now, sweep)
	if !ok {
		return
	}
	err := p.put(ctx, changes, version)
	switch {
	case err == nil, apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
	case apierrors.IsNotFound(err):
		p.take(&corev1.ConfigMap{}) // the watch will say it as well
	default:
		p.log.Error(err, msgUnkept, keyPage, p.name)
	}
}

// plan says which keys to set to which text, nil for those to remove.
func (p *page) plan(now time.Time, sweep bool) (changes map[string]*string, version string, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.read {
		return nil, "", false
	}
	changes = map[string]*string{}
	workloads := slices.Collect(maps.Keys(p.wanted))
	if sweep {
		workloads = slices.AppendSeq(workloads, maps.Keys(p.entries))
		p.clean(changes)
	}
	slices.SortFunc(workloads, Workload.compare)
	room := p.room()
	var homeless []string
	for _, w := range slices.Compact(workloads) {
		_, key := w.place()
		next := p.revise(w, now)
		if next == nil {
			delete(p.wanted, w)
			if p.entries[w] != nil {
				changes[key] = nil
			}
			continue
		}
		text, err := next.text()
		switch old := p.texts[key]; {
		case err != nil || text == old:
			delete(p.wanted, w)
		case !room.take(w.Namespace, len(key), len(old), len(text)):
			delete(p.wanted, w)
			homeless = append(homeless, w.Namespace+"/"+w.Name)
		default:
			changes[key] = &text
		}
	}
	if len(homeless) > 0 {
		p.log.Info(msgNoRoom, keyPage, p.name, keyWorkloads, strings.Join(homeless[:min(len(homeless), 10)], ","))
	}
	return changes, p.version, len(changes) > 0
}

// revise is what the entry of a workload should be now, nil for none.
func (p *page) revise(w Workload, now time.Time) *entry {
	old := p.entries[w]
	wanted, isNew := p.wanted[w]
	isUsed := isNew || p.pupil.HasProxies(w)
	if old == nil {
		old = &entry{}
	}
	if !isUsed && old.age(now) >= lifetime {
		return nil
	}
	next := &entry{
		Cluster: w.Cluster, Namespace: w.Namespace, Workload: w.Name, Used: old.Used,
		Uses: p.pupil.Extant(union(old.Uses, wanted)),
	}
	if next.count() == 0 {
		return nil
	}
	if next.Used == "" || isUsed && old.age(now) >= renewal {
		next.Used = now.UTC().Format(dateLayout)
	}
	return next
}

// clean removes keys that say nothing.
func (p *page) clean(changes map[string]*string) {
	for key, text := range p.texts {
		if _, e := parse(key, text); e == nil {
			changes[key] = nil
		}
	}
}

// put writes; it fails with a conflict when there is another version than the one
// that the changes were made for.
func (p *page) put(ctx context.Context, changes map[string]*string, version string) error {
	if version == "" {
		data := map[string]string{}
		for key, text := range changes {
			if text != nil {
				data[key] = *text
			}
		}
		_, err := p.client.Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: p.name, Labels: map[string]string{
				"app.kubernetes.io/part-of": "meshwright", "app.kubernetes.io/managed-by": fieldManager,
			}},
			Data: data,
		}, metav1.CreateOptions{FieldManager: fieldManager})
		return err
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"resourceVersion": version}, "data": changes})
	if err != nil {
		return fmt.Errorf("encode what workloads use: %w", err)
	}
	_, err = p.client.Patch(ctx, p.name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
	return err
}

// room is what a page has left, in bytes.
type room struct {
	all        int
	namespaces map[string]int
}

func (p *page) room() *room {
	r := &room{all: maxPage, namespaces: map[string]int{}}
	for key, text := range p.texts {
		r.all -= len(key) + len(text)
	}
	for w := range p.entries {
		_, key := w.place()
		r.namespaces[w.Namespace] += len(key) + len(p.texts[key])
	}
	return r
}

// take makes an entry's text another one, if there is room for it. There is always
// room for what is shorter.
func (r *room) take(namespace string, key, old, text int) bool {
	grown := text - old
	if old == 0 {
		grown += key
	}
	if grown > 0 && (grown > r.all || r.namespaces[namespace]+grown > maxNamespace) {
		return false
	}
	r.all -= grown
	r.namespaces[namespace] += grown
	return true
}
