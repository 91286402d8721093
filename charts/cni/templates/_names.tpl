{{- define "cni.selector" -}}
app.kubernetes.io/name: meshwright-cni
app.kubernetes.io/instance: meshwright-cni
{{- end }}

{{- define "cni.labels" -}}
{{ include "cni.selector" . }}
app.kubernetes.io/component: cni
app.kubernetes.io/part-of: meshwright
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- /* The reference of an image: reference if it is given, else that of name. */}}
{{- define "cni.image" -}}
{{- $image := .root.Values.image }}
{{- $digest := get ($image.digests | default dict) .name }}
{{- if .reference }}
{{- .reference }}
{{- else if $digest }}
{{- $image.registry }}/{{ .name }}@{{ $digest }}
{{- else }}
{{- $image.registry }}/{{ .name }}:{{ $image.tag | default .root.Chart.AppVersion }}
{{- end }}
{{- end }}

{{- /* The flags that both commands of the pod take. */}}
{{- define "cni.flags" -}}
- --chained={{ .Values.chained }}
- --exclude-namespaces={{ append .Values.excludeNamespaces .Release.Namespace | uniq | sortAlpha | join "," }}
{{- end }}
