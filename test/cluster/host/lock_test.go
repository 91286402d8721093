// SPDX-License-Identifier: Apache-2.0

package host

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestLockExcludesAndIsReleased(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d", "lock")
	unlock, err := Lock(context.Background(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 150*time.Millisecond)
	defer cancel()
	told := 0
	if _, err := Lock(ctx, path, func() { told++ }); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a held lock was taken: %v", err)
	}
	if told != 1 {
		t.Errorf("the wait was announced %d times, want once", told)
	}
	unlock()
	again, err := Lock(context.Background(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	again()
}

// TestLockOnARemovedFile: who waited on a file that the holder removed must
// end up with the lock of the file that is there now, not with a dead one.
func TestLockOnARemovedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := Lock(context.Background(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	second, err := Lock(context.Background(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	first()
	ctx, cancel := context.WithTimeout(context.Background(), 150*time.Millisecond)
	defer cancel()
	if _, err := Lock(ctx, path, nil); err == nil {
		t.Fatal("two holders of one lock")
	}
	second()
}
