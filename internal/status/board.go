// SPDX-License-Identifier: Apache-2.0

package status

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	applyv1 "k8s.io/client-go/applyconfigurations/core/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/meshwright/meshwright/internal/report"
)

const (
	// postPause is between two writes of a replica, and readPause between two looks
	// of the leader.
	postPause = time.Second
	readPause = 3 * time.Second
	// renewal is how often a replica says that what it said still holds, and
	// staleness for how long the leader believes one that does not.
	renewal   = time.Minute
	staleness = 3 * time.Minute
)

const (
	msgPostFailed = "Cannot tell the leader what proxies refused; trying again"
	msgReadFailed = "Cannot read what proxies of other replicas refused; trying again"
)

// Board is a ConfigMap on which each replica writes what its own proxies refuse, in a
// key of its own, so that the leader, which writes status, hears of it. It is written
// only while some proxy refuses something.
type Board struct {
	Client     corev1client.ConfigMapInterface
	Name       string // of the ConfigMap
	Replica    string // the key: different for each replica
	Revision   string // of the replica
	Aggregator *Aggregator
	Log        logr.Logger
}

// Post writes until the context ends.
func (b *Board) Post(ctx context.Context) error {
	posted := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-b.Aggregator.Refused():
		case <-time.After(renewal):
		}
		refusals := b.Aggregator.Refusals()
		if len(refusals) == 0 && !posted {
			continue
		}
		if err := b.post(ctx, refusals); err != nil {
			b.Log.Error(err, msgPostFailed)
			b.Aggregator.shared()
		} else {
			posted = len(refusals) > 0
		}
		if !pause(ctx, postPause) {
			return nil
		}
	}
}

// post applies the replica's own key; applying none removes it.
func (b *Board) post(ctx context.Context, refusals []report.Refusal) error {
	body := applyv1.ConfigMap(b.Name, "")
	if len(refusals) > 0 {
		text, err := json.Marshal(report.Note{Renewed: time.Now().UTC().Format(time.RFC3339), Revision: b.Revision, Refusals: refusals})
		if err != nil {
			return fmt.Errorf("encode refusals: %w", err)
		}
		body.WithData(map[string]string{b.Replica: string(text)})
	}
	bounded, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	_, err := b.Client.Apply(bounded, body, metav1.ApplyOptions{FieldManager: FieldManager + "/" + b.Replica, Force: true})
	return err
}

// Read tells the aggregator until the context ends what other replicas wrote; it is
// for the leader. A replica that is gone does not renew what it wrote: that is
// believed for a while and then removed.
func (b *Board) Read(ctx context.Context) {
	seen := map[string]sighting{}
	for pause(ctx, readPause) {
		if err := b.read(ctx, seen, time.Now()); err != nil && ctx.Err() == nil {
			b.Log.Error(err, msgReadFailed)
		}
	}
}

type sighting struct {
	text string
	at   time.Time
}

func (b *Board) read(ctx context.Context, seen map[string]sighting, now time.Time) error {
	bounded, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	board, err := b.Client.Get(bounded, b.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		b.Aggregator.Peers(nil)
		return nil
	}
	if err != nil {
		return err
	}
	var all []report.Refusal
	for replica, text := range board.Data {
		if replica == b.Replica {
			continue
		}
		if s := seen[replica]; s.text != text {
			seen[replica] = sighting{text, now}
		}
		if now.Sub(seen[replica].at) >= staleness {
			patch := fmt.Appendf(nil, `{"data":{%q:null}}`, replica)
			if _, err := b.Client.Patch(bounded, b.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: FieldManager}); err != nil {
				return err
			}
			delete(seen, replica)
			continue
		}
		var n report.Note
		if json.Unmarshal([]byte(text), &n) == nil { // text that is no note says nothing
			all = append(all, n.Refusals...)
		}
	}
	b.Aggregator.Peers(all)
	return nil
}

// pause tells whether the context is still open after a while.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
