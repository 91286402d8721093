// SPDX-License-Identifier: Apache-2.0

package istiooperator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// check returns a value of the input as the spec has it, nil for a value that
// says nothing, or why it cannot be had.
type check func(value any) (any, error)

// text takes text; empty says nothing.
func text(value any) (any, error) {
	s, ok := value.(string)
	if !ok {
		return nil, errors.New("must be text")
	}
	if s == "" {
		return nil, nil
	}
	return s, nil
}

// tag takes what a YAML file makes of a tag: text, or a number.
func tag(value any) (any, error) {
	if number, ok := value.(float64); ok {
		return strconv.FormatFloat(number, 'f', -1, 64), nil
	}
	return text(value)
}

func boolean(value any) (any, error) {
	if _, ok := value.(bool); !ok {
		return nil, errors.New("must be true or false")
	}
	return value, nil
}

// integer takes whole numbers from least to most.
func integer(least, most float64) check {
	return func(value any) (any, error) {
		number, ok := value.(float64)
		if !ok || number != math.Trunc(number) || number < least || number > most {
			return nil, fmt.Errorf("must be a number from %.0f to %.0f", least, most)
		}
		return number, nil
	}
}

// oneOf takes one of some words. The empty word says nothing.
func oneOf(words ...string) check {
	return func(value any) (any, error) {
		s, ok := value.(string)
		if !ok || !slices.Contains(words, s) {
			return nil, fmt.Errorf("must be one of %s", strings.Join(words, ", "))
		}
		if s == "" {
			return nil, nil
		}
		return s, nil
	}
}

// exactly takes one of some words, the empty one too.
func exactly(words ...string) check {
	return func(value any) (any, error) {
		if s, ok := value.(string); !ok || !slices.Contains(words, s) {
			return nil, fmt.Errorf("must be one of %q", words)
		}
		return value, nil
	}
}

var (
	durations = regexp.MustCompile(`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`)
	// shortTimes are what is waited for a protocol.
	shortTimes = regexp.MustCompile(`^([0-9]+(\.[0-9]+)?(ms|s))+$`)
	seconds    = regexp.MustCompile(`^([0-9]+(s|m|h))+$`)
)

// matching takes text of a form.
func matching(form *regexp.Regexp, most int, what string) check {
	return func(value any) (any, error) {
		s, ok := value.(string)
		if !ok || len(s) > most || !form.MatchString(s) {
			return nil, errors.New("must be " + what)
		}
		return s, nil
	}
}

var (
	duration     = matching(durations, 16, "a duration such as 10s")
	wholeSeconds = matching(seconds, 16, "a duration in whole seconds such as 10s")
)

// textList takes a list of text.
func textList(value any) (any, error) {
	list, ok := value.([]any)
	if !ok {
		return nil, errors.New("must be a list of text")
	}
	for _, item := range list {
		if s, ok := item.(string); !ok || s == "" {
			return nil, errors.New("must be a list of text")
		}
	}
	if len(list) == 0 {
		return nil, nil
	}
	return list, nil
}

// textMap takes an object of text; numbers and booleans become text, as charts
// make of them.
func textMap(value any) (any, error) {
	object, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("must be an object of text")
	}
	out := map[string]any{}
	for key, item := range object {
		s, ok := scalar(item)
		if !ok {
			return nil, fmt.Errorf("%s must be text", key)
		}
		out[key] = s
	}
	if len(out) == 0 {
		return nil, nil
	}
	return out, nil
}

func scalar(value any) (string, bool) {
	switch value := value.(type) {
	case string:
		return value, true
	case bool:
		return strconv.FormatBool(value), true
	case float64:
		return strconv.FormatFloat(value, 'f', -1, 64), true
	}
	return "", false
}

// typed takes what an API type of Kubernetes takes, and nothing that is not in it.
func typed[T any](value any) (any, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	var into T
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&into); err != nil {
		return nil, fmt.Errorf("not what Kubernetes has: %w", err)
	}
	switch value := value.(type) {
	case map[string]any:
		if len(value) == 0 {
			return nil, nil
		}
	case []any:
		if len(value) == 0 {
			return nil, nil
		}
	}
	return value, nil
}

// logLevel takes the level of a control plane's scopes where it is one for all.
func logLevel(value any) (any, error) {
	s, _ := value.(string)
	level := strings.TrimPrefix(strings.TrimPrefix(s, "default:"), "all:")
	switch level {
	case "":
		return nil, nil
	case "debug", "info", "warn", "error":
		return level, nil
	}
	return nil, errors.New("the control plane has one level for all of it: debug, info, warn or error")
}
