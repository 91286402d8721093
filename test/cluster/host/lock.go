// SPDX-License-Identifier: Apache-2.0

package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Lock takes an exclusive lock on the file at path, waiting until ctx ends.
// waiting is called once when somebody else holds it. The kernel drops the
// lock when its holder dies, so a crash never leaves one behind.
func Lock(ctx context.Context, path string, waiting func()) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make the directory of the lock %s: %w", path, err)
	}
	for told := false; ; {
		unlock, err := try(path)
		if unlock != nil || err != nil {
			return unlock, err
		}
		if !told && waiting != nil {
			told = true
			waiting()
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the lock %s: %w", path, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// try takes the lock if it is free. A lock on a file that was removed or
// replaced meanwhile is worth nothing, and counts as not free.
func try(path string) (func(), error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the lock %s: %w", path, err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		held, heldErr := f.Stat()
		there, thereErr := os.Stat(path)
		if heldErr == nil && thereErr == nil && os.SameFile(held, there) {
			return func() { f.Close() }, nil
		}
	}
	f.Close()
	if err == nil || errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
		return nil, nil
	}
	return nil, fmt.Errorf("lock %s: %w", path, err)
}
