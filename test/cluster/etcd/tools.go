// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package etcd pins the etcd server of the local test cluster. It is never
// compiled; it exists so that go.mod keeps the server's dependencies.
package etcd

import (
	_ "go.etcd.io/etcd/server/v3"
)
