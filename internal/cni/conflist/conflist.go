// SPDX-License-Identifier: Apache-2.0

// Package conflist puts a plugin at the end of a node's list of CNI plugins, and
// takes it out again. What others wrote stays as it is.
package conflist

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// Type is the type of our plugin: the name of its binary.
const Type = "meshwright-cni"

// Plugin is the configuration of our plugin.
type Plugin struct {
	Type string `json:"type"`
	// Socket is where the node's agent listens.
	Socket string `json:"socket"`
	// ExcludeNamespaces are those whose pods are left alone without a question.
	ExcludeNamespaces []string `json:"excludeNamespaces,omitempty"`
}

// versioned is what a configuration of its own needs besides.
type versioned struct {
	Version string `json:"cniVersion"`
	Name    string `json:"name"`
	Plugin
}

// Alone is a configuration that has only our plugin, for a node where something
// calls it by its name.
func Alone(p Plugin) ([]byte, error) {
	p.Type = Type
	return encode(versioned{Version: "0.3.1", Name: Type, Plugin: p})
}

// Insert returns a configuration, which is a list of plugins or a single one, as
// a list with our plugin as the last. It may be there already.
func Insert(config []byte, p Plugin) ([]byte, error) {
	list, err := parse(config)
	if err != nil {
		return nil, err
	}
	plugins, ok := list["plugins"].([]any)
	if !ok {
		if list, err = enlist(list); err != nil {
			return nil, err
		}
		plugins, _ = list["plugins"].([]any)
	}
	others := without(plugins)
	if len(others) == 0 {
		return nil, errors.New("there is no other plugin in it, so it gives pods no network")
	}
	p.Type = Type
	list["plugins"] = append(others, p)
	return encode(list)
}

// Remove returns a list without our plugin; found is false when it was not there.
func Remove(config []byte) (out []byte, found bool, err error) {
	list, err := parse(config)
	if err != nil {
		return nil, false, err
	}
	plugins, _ := list["plugins"].([]any)
	others := without(plugins)
	if len(others) == len(plugins) {
		return config, false, nil
	}
	list["plugins"] = others
	out, err = encode(list)
	return out, true, err
}

// Usable says whether a configuration gives pods a network: it names a plugin
// that is not ours.
func Usable(config []byte) bool {
	list, err := parse(config)
	if err != nil {
		return false
	}
	if plugins, ok := list["plugins"].([]any); ok {
		return len(without(plugins)) > 0
	}
	kind, _ := list["type"].(string)
	return kind != "" && kind != Type
}

// enlist makes a list of a single plugin. The version and the name are the list's.
func enlist(single map[string]any) (map[string]any, error) {
	kind, _ := single["type"].(string)
	if kind == "" {
		return nil, errors.New("it has neither plugins nor a type")
	}
	list := map[string]any{}
	for _, key := range []string{"cniVersion", "name"} {
		if value, ok := single[key]; ok {
			list[key] = value
			delete(single, key)
		}
	}
	list["plugins"] = []any{single}
	return list, nil
}

func without(plugins []any) []any {
	out := make([]any, 0, len(plugins)+1)
	for _, plugin := range plugins {
		if object, ok := plugin.(map[string]any); ok && object["type"] == Type {
			continue
		}
		out = append(out, plugin)
	}
	return out
}

// parse keeps numbers as they are written.
func parse(config []byte) (map[string]any, error) {
	decoder := json.NewDecoder(bytes.NewReader(config))
	decoder.UseNumber()
	var out map[string]any
	if err := decoder.Decode(&out); err != nil {
		return nil, fmt.Errorf("it is no CNI configuration: %w", err)
	}
	if out == nil || decoder.More() {
		return nil, errors.New("it is no CNI configuration: it is not one object")
	}
	return out, nil
}

func encode(value any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return out.Bytes(), nil
}
