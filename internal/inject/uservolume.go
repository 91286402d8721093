// SPDX-License-Identifier: Apache-2.0

package inject

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// maxUserVolumes bounds what one annotation may add.
const maxUserVolumes = 32

// userVolumes reads the volumes that a pod adds for its proxy: a list of volumes, or a map of their sources by name.
func (p *parser) userVolumes() []corev1.Volume {
	out := entries(p, annotationVolumes, func(name string, source corev1.VolumeSource) corev1.Volume {
		return corev1.Volume{Name: name, VolumeSource: source}
	})
	for _, v := range out {
		if slices.ContainsFunc(volumes(), func(own corev1.Volume) bool { return own.Name == v.Name }) {
			p.fail(annotationVolumes, fmt.Errorf("volume %q is the mesh's own; choose another name", v.Name))
		}
	}
	return out
}

// userMounts reads where the proxy mounts them: a list, or a map by the volume's name.
func (p *parser) userMounts() []corev1.VolumeMount {
	out := entries(p, annotationMounts, func(name string, mount corev1.VolumeMount) corev1.VolumeMount {
		mount.Name = name
		return mount
	})
	for _, m := range out {
		if slices.ContainsFunc(mounts(), func(own corev1.VolumeMount) bool { return own.MountPath == m.MountPath }) {
			p.fail(annotationMounts, fmt.Errorf("%q is where the mesh mounts its own files; choose another path", m.MountPath))
		}
	}
	return out
}

// entries decodes an annotation that is a JSON list of entries or a map by name, in a stable order.
func entries[E, V any](p *parser, annotation string, named func(string, V) E) []E {
	text := p.text(annotation, "")
	if text == "" {
		return nil
	}
	var list []E
	if err := decodeStrict(text, &list); err == nil {
		return bounded(p, annotation, list)
	}
	var byName map[string]V
	if err := decodeStrict(text, &byName); err != nil {
		p.fail(annotation, fmt.Errorf("is neither a JSON list nor a JSON map by name: %w", err))
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		list = append(list, named(name, byName[name]))
	}
	return bounded(p, annotation, list)
}

func bounded[E any](p *parser, annotation string, list []E) []E {
	if len(list) > maxUserVolumes {
		p.fail(annotation, fmt.Errorf("%d entries are more than the allowed %d", len(list), maxUserVolumes))
		return nil
	}
	return list
}

func decodeStrict(text string, into any) error {
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}
