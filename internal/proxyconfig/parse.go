// SPDX-License-Identifier: Apache-2.0

package proxyconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/meshwright/meshwright/internal/ownport"
)

// maxText bounds an annotation's YAML; the API server bounds all annotations of an object to 256 KiB.
const maxText = 64 << 10

// maxDrain is the longest drain: an hour, as for the graceful end of a pod nobody waits longer.
const maxDrain = time.Hour

// Fields of https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/#ProxyConfig that have an effect, or that
// say what is so in any case.
var fields = map[string]func(*Settings, []byte) error{
	"concurrency":                     parseConcurrency,
	"proxyMetadata":                   parseMetadata,
	"image":                           parseImage,
	"drainDuration":                   parseDrain,
	"terminationDrainDuration":        parseDrain,
	"proxyStatsMatcher":               parseStats,
	"holdApplicationUntilProxyStarts": parseHold,
	"statusPort":                      parseStatusPort,
	"gatewayTopology":                 parseTopology,
	"proxyHeaders":                    parseHeaders,
}

// Fields are the names of the fields that are read, sorted.
func Fields() []string { return slices.Sorted(maps.Keys(fields)) }

// unserved says that a field is right but has no effect in this mesh.
type unserved string

func (u unserved) Error() string { return string(u) }

// Parse reads the YAML of a ProxyConfig. ignored says, field by field, what is right but has no effect in this mesh. An
// error joins one for every field that is wrong; the settings then hold the others.
func Parse(text []byte) (s Settings, ignored []string, err error) {
	if len(text) > maxText {
		return s, nil, fmt.Errorf("is larger than %d bytes", maxText)
	}
	converted, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return s, nil, fmt.Errorf("is not YAML: %w", err)
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(converted, &raw); err != nil {
		return s, nil, errors.New("is not a set of fields such as \"concurrency: 2\"")
	}
	var errs []error
	// drainDuration comes before terminationDrainDuration, which is the one that is about the end of a pod.
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		parse := fields[name]
		if parse == nil {
			ignored = append(ignored, name+": not served by this mesh")
			continue
		}
		if string(raw[name]) == "null" {
			continue
		}
		for _, err := range Each(parse(&s, raw[name])) {
			err = fmt.Errorf("%s: %w", name, err)
			if without := unserved(""); errors.As(err, &without) {
				ignored = append(ignored, err.Error())
			} else {
				errs = append(errs, err)
			}
		}
	}
	return s, ignored, errors.Join(errs...)
}

// Each parts what errors.Join put together.
func Each(err error) []error {
	var joined interface{ Unwrap() []error }
	switch {
	case err == nil:
		return nil
	case errors.As(err, &joined):
		return joined.Unwrap()
	}
	return []error{err}
}

func parseConcurrency(s *Settings, text []byte) error {
	var n int32
	if err := json.Unmarshal(text, &n); err != nil {
		return fmt.Errorf("%s is not a whole number", text)
	}
	if err := CheckConcurrency(n); err != nil {
		return err
	}
	s.Concurrency = &n
	return nil
}

func parseMetadata(s *Settings, text []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		return errors.New("is not a map of names to text")
	}
	if err := CheckVariables(len(raw)); err != nil {
		return err
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		var value string
		if err := json.Unmarshal(raw[name], &value); err != nil {
			errs = append(errs, fmt.Errorf("%s: %s is not text; put it in quotes", name, raw[name]))
			continue
		}
		if err := CheckVariable(name, value); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
			continue
		}
		if s.Environment == nil {
			s.Environment = map[string]string{}
		}
		s.Environment[name] = value
	}
	return errors.Join(errs...)
}

func parseImage(s *Settings, text []byte) error {
	var image struct {
		ImageType string `json:"imageType"`
	}
	if err := strict(text, &image); err != nil {
		return err
	}
	if err := CheckImageType(image.ImageType); err != nil {
		return unserved("imageType: " + err.Error())
	}
	s.ImageType = image.ImageType
	return nil
}

func parseDrain(s *Settings, text []byte) error {
	var value string
	if err := json.Unmarshal(text, &value); err != nil {
		return fmt.Errorf("%s is not a duration such as \"45s\"", text)
	}
	d, err := time.ParseDuration(value)
	if err != nil || d < time.Second || d > maxDrain {
		return fmt.Errorf("%q must be a duration from 1s to %s", value, maxDrain)
	}
	s.Drain = d
	return nil
}

func parseStats(s *Settings, text []byte) error {
	var matcher struct {
		Prefixes []string `json:"inclusionPrefixes"`
		Suffixes []string `json:"inclusionSuffixes"`
		Regexps  []string `json:"inclusionRegexps"`
	}
	if err := strict(text, &matcher); err != nil {
		return err
	}
	for _, expression := range matcher.Regexps {
		if _, err := regexp.Compile(expression); err != nil {
			return fmt.Errorf("inclusionRegexps: %w", err)
		}
	}
	for _, entry := range slices.Concat(matcher.Prefixes, matcher.Suffixes, matcher.Regexps) {
		if strings.Contains(entry, ",") {
			return fmt.Errorf("%q must not contain a comma: the agent is given a list with commas between", entry)
		}
	}
	s.StatsPrefixes, s.StatsSuffixes, s.StatsRegexps = matcher.Prefixes, matcher.Suffixes, matcher.Regexps
	return nil
}

// parseHold takes both values: the proxy is a native sidecar, which always starts before the application.
func parseHold(_ *Settings, text []byte) error {
	var hold bool
	if err := json.Unmarshal(text, &hold); err != nil {
		return fmt.Errorf("%s is neither true nor false", text)
	}
	return nil
}

func parseStatusPort(_ *Settings, text []byte) error {
	if string(text) != fmt.Sprint(ownport.Status) {
		return unserved(fmt.Sprintf("%s is not served: the port is always %d", text, ownport.Status))
	}
	return nil
}

func strict(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	return nil
}
