// SPDX-License-Identifier: Apache-2.0

package poison

// town is what the poison must not harm. The service "other" is the poison's own.
const town = `
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {clusterIP: 10.96.0.1, selector: {app: web}, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: cart, namespace: shop}, spec: {clusterIP: 10.96.0.2, selector: {app: cart}, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: other, namespace: shop}, spec: {clusterIP: 10.96.0.3, selector: {app: other}, ports: [{name: http, port: 80}, {name: http-admin, port: 8080}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: bytes, namespace: shop}, spec: {clusterIP: 10.96.0.4, selector: {app: bytes}, ports: [{name: tcp, port: 9000}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [10.0.0.1], conditions: {ready: true}, targetRef: {kind: Pod, name: web-1}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: other-1, namespace: shop, labels: {kubernetes.io/service-name: other}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [10.0.0.3], conditions: {ready: true}, targetRef: {kind: Pod, name: other-1}}]
---
{apiVersion: v1, kind: Pod, metadata: {name: web-1, namespace: shop, labels: {app: web, version: v1, security.istio.io/tlsMode: istio}}, spec: {serviceAccountName: web, containers: []}, status: {podIP: 10.0.0.1}}
---
{apiVersion: v1, kind: Pod, metadata: {name: other-1, namespace: shop, labels: {app: other, v: "1", security.istio.io/tlsMode: istio}}, spec: {serviceAccountName: other, containers: []}, status: {podIP: 10.0.0.3}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop, creationTimestamp: "2026-01-01T00:00:00Z"}
spec:
  hosts: [web]
  http:
  - match: [{uri: {prefix: /good}}]
    route: [{destination: {host: web, subset: v1}}]
  - match: [{uri: {exact: /}}]
    route: [{destination: {host: web}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: shop, creationTimestamp: "2026-01-01T00:00:00Z"}
spec: {host: web, subsets: [{name: v1, labels: {version: v1}}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop, creationTimestamp: "2026-01-01T00:00:00Z"}
spec:
  selector: {app: edge}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}
  - {port: {number: 443, name: https, protocol: HTTPS}, hosts: [shop.example.com], tls: {mode: SIMPLE, credentialName: good}}
---
apiVersion: v1
kind: Secret
metadata: {name: good, namespace: edge}
stringData: {tls.crt: $certificate, tls.key: $key}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: front, namespace: shop, creationTimestamp: "2026-01-01T00:00:00Z"}
spec:
  hosts: [shop.example.com]
  gateways: [edge]
  http: [{match: [{uri: {exact: /}}], route: [{destination: {host: web}}]}]
`
