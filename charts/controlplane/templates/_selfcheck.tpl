{{- /* What the operator asks the API server to create, as a dry run, to see that the webhooks answer. Nobody else makes such objects, so it may fail. */}}
{{- define "controlplane.selfcheck" }}
- name: self-check.{{ .name }}
  clientConfig:
    {{- with .root.Values.webhooks.caBundle }}
    caBundle: {{ . }}
    {{- end }}
    service:
      name: {{ include "controlplane.answering" .root }}
      namespace: {{ .root.Release.Namespace }}
      path: {{ .path }}
      port: 443
  rules:
  - apiGroups: [""]
    apiVersions: [v1]
    operations: [CREATE]
    resources: [configmaps]
    scope: Namespaced
  sideEffects: None
  admissionReviewVersions: [v1]
  matchPolicy: Exact
  failurePolicy: Fail
  timeoutSeconds: 5
  namespaceSelector:
    matchLabels:
      kubernetes.io/metadata.name: {{ .root.Release.Namespace }}
  objectSelector:
    matchLabels:
      meshwright.dev/self-check: {{ .root.Values.revision }}
{{- end }}
