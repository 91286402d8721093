// SPDX-License-Identifier: Apache-2.0

//go:build integration

package controlplane_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	securityv1alpha1 "istio.io/api/security/v1alpha1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const rootName = "meshwright-ca-root-cert"

func rootPEM(t *testing.T) []byte {
	t.Helper()
	secret, err := typed.CoreV1().Secrets(namespace).Get(t.Context(), "meshwright-ca", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return secret.Data["root-cert.pem"]
}

func makeNamespace(t *testing.T, name string, labels map[string]string) {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	if _, err := typed.CoreV1().Namespaces().Create(t.Context(), ns, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// holdsRoot checks one namespace's ConfigMap.
func holdsRoot(t *testing.T, ns string) func() error {
	want := string(rootPEM(t))
	return func() error {
		found, err := typed.CoreV1().ConfigMaps(ns).Get(t.Context(), rootName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if found.Data["root-cert.pem"] != want {
			return fmt.Errorf("namespace %s holds another root", ns)
		}
		return nil
	}
}

func TestRootReachesEveryNamespace(t *testing.T) {
	start(t)
	eventually(t, "root in default", holdsRoot(t, "default"))
	makeNamespace(t, "root-new", nil)
	within(t, 5*time.Second, "root in a new namespace", holdsRoot(t, "root-new"))

	if err := typed.CoreV1().ConfigMaps("root-new").Delete(t.Context(), rootName, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	within(t, 5*time.Second, "root after its deletion", holdsRoot(t, "root-new"))
	found, err := typed.CoreV1().ConfigMaps("root-new").Get(t.Context(), rootName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	found.Data = map[string]string{"root-cert.pem": "forged"}
	if _, err := typed.CoreV1().ConfigMaps("root-new").Update(t.Context(), found, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	within(t, 5*time.Second, "root after a forgery", holdsRoot(t, "root-new"))
	for _, ns := range []string{"kube-system", "kube-public", "kube-node-lease"} {
		if err := holdsRoot(t, ns)(); !apierrors.IsNotFound(err) {
			t.Errorf("namespace %s: %v", ns, err)
		}
	}
}

func TestRootStaysInWebhookConfigurations(t *testing.T) {
	start(t)
	ctx, want := t.Context(), string(rootPEM(t))
	api := typed.AdmissionregistrationV1()
	check := func() error {
		m, err := api.MutatingWebhookConfigurations().Get(ctx, "meshwright-injector", metav1.GetOptions{})
		if err != nil {
			return err
		}
		v, err := api.ValidatingWebhookConfigurations().Get(ctx, "meshwright-validator", metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, h := range m.Webhooks {
			if string(h.ClientConfig.CABundle) != want {
				return fmt.Errorf("webhook %s has another bundle", h.Name)
			}
		}
		for _, h := range v.Webhooks {
			if string(h.ClientConfig.CABundle) != want {
				return fmt.Errorf("webhook %s has another bundle", h.Name)
			}
		}
		if len(m.Webhooks) == 0 || len(v.Webhooks) == 0 {
			return errors.New("a configuration has no webhooks")
		}
		return nil
	}
	// Readiness promises it.
	if err := check(); err != nil {
		t.Fatal(err)
	}
	m, err := api.MutatingWebhookConfigurations().Get(ctx, "meshwright-injector", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	owner := slices.IndexFunc(m.ManagedFields, func(f metav1.ManagedFieldsEntry) bool { return f.Manager == "meshwright-controlplane" })
	if owner < 0 || strings.Contains(string(m.ManagedFields[owner].FieldsV1.Raw), "f:rules") {
		t.Errorf("the control plane owns %v", m.ManagedFields)
	}
	for i := range m.Webhooks {
		m.Webhooks[i].ClientConfig.CABundle = nil
	}
	if _, err := api.MutatingWebhookConfigurations().Update(ctx, m, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	within(t, 5*time.Second, "bundle put back", check)
}

// TestRootGoesWithTheRelease: without an operator the ConfigMaps belong to the ClusterRole, so that nothing of the mesh
// stays in users' namespaces when it is removed.
func TestRootGoesWithTheRelease(t *testing.T) {
	start(t, "--cluster-role=meshwright-"+namespace)
	role, err := typed.RbacV1().ClusterRoles().Get(t.Context(), "meshwright-"+namespace, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "an owner", func() error {
		found, err := typed.CoreV1().ConfigMaps("default").Get(t.Context(), rootName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if o := found.OwnerReferences; len(o) != 1 || o[0].Kind != "ClusterRole" || o[0].UID != role.UID {
			return fmt.Errorf("owners %+v", o)
		}
		return nil
	})
}

// token makes a service account's token for the audience.
func token(t *testing.T, ns, account, audience string) string {
	t.Helper()
	_, err := typed.CoreV1().ServiceAccounts(ns).Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: account}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{audience}}}
	if audience == "" {
		request.Spec.Audiences = nil
	}
	made, err := typed.CoreV1().ServiceAccounts(ns).CreateToken(t.Context(), account, request, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return made.Status.Token
}

func TestCertificateForServiceAccount(t *testing.T) {
	r := start(t)
	makeNamespace(t, "signing", nil)
	connection, err := grpc.NewClient(r.xds, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots(t), ServerName: serverName})))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{"evil.example"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	csr := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
	ask := func(token string) (*securityv1alpha1.IstioCertificateResponse, error) {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token)
		return securityv1alpha1.NewIstioCertificateServiceClient(connection).CreateCertificate(ctx, &securityv1alpha1.IstioCertificateRequest{Csr: csr})
	}
	answer, err := ask(token(t, "signing", "web", "istio-ca"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(answer.CertChain[0]))
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if len(leaf.URIs) != 1 || leaf.URIs[0].String() != "spiffe://cluster.local/ns/signing/sa/web" || len(leaf.DNSNames) != 0 {
		t.Errorf("signed for %v %v", leaf.URIs, leaf.DNSNames)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots(t), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Error(err)
	}
	for name, bad := range map[string]string{"another audience": token(t, "signing", "web", "other"), "the API server's": token(t, "signing", "web", ""), "no token": "nonsense"} {
		if _, err := ask(bad); status.Code(err) != codes.Unauthenticated {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error(), bad) {
			t.Errorf("%s: the answer repeats the token", name)
		}
	}
	if log := r.log.String(); strings.Contains(log, "eyJ") || strings.Contains(log, "PRIVATE KEY") {
		t.Error("a secret is in the log")
	}

	// The certificate opens a mutual connection; one of another authority does not.
	pair := tls.Certificate{Certificate: [][]byte{block.Bytes}, PrivateKey: key}
	for name, c := range map[string]struct {
		pair tls.Certificate
		ok   bool
	}{"own": {pair, true}, "foreign": {foreignPair(t), false}} {
		// Sent whatever the server says that it accepts.
		present := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c.pair, nil }
		conn, err := tls.Dial("tcp", r.xds, &tls.Config{RootCAs: roots(t), ServerName: serverName, GetClientCertificate: present, NextProtos: []string{"h2"}})
		if err == nil {
			// With TLS 1.3 the server's verdict comes with the first read.
			_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
			_, err = conn.Read(make([]byte, 1))
			conn.Close()
		}
		if (err == nil) != c.ok {
			t.Errorf("a client with its %s certificate: %v", name, err)
		}
	}
}

func foreignPair(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(7), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestMetricsNeedPermission(t *testing.T) {
	r := start(t)
	makeNamespace(t, "scraping", nil)
	scraper := token(t, "scraping", "prometheus", "")
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "scraper"}, Rules: []rbacv1.PolicyRule{{NonResourceURLs: []string{"/metrics"}, Verbs: []string{"get"}}}}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "scraper"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "scraper"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: "scraping", Name: "prometheus"}},
	}
	for _, o := range []client.Object{role, binding} {
		if err := admin.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	url := "https://" + r.monitoring + "/metrics"
	eventually(t, "metrics for a scraper", func() error {
		code, text, err := r.get(t, url, scraper)
		if err != nil || code != http.StatusOK || !strings.Contains(text, "go_goroutines") {
			return fmt.Errorf("%d %.200s %w", code, text, err)
		}
		return nil
	})
	for name, bearer := range map[string]string{"nobody": "", "an account without the right": token(t, "scraping", "other", "")} {
		code, _, err := r.get(t, url, bearer)
		if err != nil || (code != http.StatusUnauthorized && code != http.StatusForbidden) {
			t.Errorf("%s: %d %v", name, code, err)
		}
	}
}

// TestTwoReplicas starts with an empty cluster's CA, so that the race for the first root is real.
func TestTwoReplicas(t *testing.T) {
	if err := typed.CoreV1().Secrets(namespace).Delete(t.Context(), "meshwright-ca", metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	first, second := start(t), start(t)
	for _, r := range []*replica{first, second} {
		// Both are trusted by the one root that is in the cluster.
		if code, text, err := r.get(t, "https://"+r.webhook+"/livez", ""); err != nil || code != http.StatusOK {
			t.Fatalf("%d %s %v", code, text, err)
		}
	}
	makeNamespace(t, "two-a", nil)
	eventually(t, "root by the leader", holdsRoot(t, "two-a"))
	first.stop(t)
	makeNamespace(t, "two-b", nil)
	within(t, 15*time.Second, "root by the next leader", holdsRoot(t, "two-b"))
}
