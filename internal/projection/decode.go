// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"encoding/json"
	"fmt"
)

// decode reads a spec by the API type's own rules, which take durations as people
// write them ("250ms"). Fields that the type does not have are left to the schema of
// the kind, which prunes or refuses them: a newer API server must not stop an older
// control plane.
func decode(text []byte, into json.Unmarshaler) error {
	if len(text) == 0 {
		return nil // an object without a spec
	}
	if err := into.UnmarshalJSON(text); err != nil {
		return fmt.Errorf("decode spec: %w", err)
	}
	return nil
}
