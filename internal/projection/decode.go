// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// decode reads a spec. Fields that the type does not have are left to the schema of
// the kind, which prunes or refuses them: a newer API server must not stop an older
// control plane.
func decode(text []byte, into proto.Message) error {
	if len(text) == 0 {
		return nil // an object without a spec
	}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: 100}).Unmarshal(text, into); err != nil {
		return fmt.Errorf("decode spec: %w", err)
	}
	return nil
}
