// SPDX-License-Identifier: Apache-2.0

// Package webhook serves admission reviews and health over HTTPS, and keeps the root in the webhook configurations.
//
// A control plane that says it is ready before its webhooks answer makes every pod creation in the mesh fail. Readiness
// here therefore means that a real review went through the real listener, with the certificate checked by the same root
// that the API server was given.
package webhook
