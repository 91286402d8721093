{{- define "gateway.name" -}}
{{ .Values.name | default .Release.Name }}
{{- end }}

{{- define "gateway.selector" -}}
app.kubernetes.io/name: meshwright-gateway
app.kubernetes.io/instance: {{ include "gateway.name" . }}
{{- end }}

{{- define "gateway.labels" -}}
{{ include "gateway.selector" . }}
app.kubernetes.io/component: gateway
app.kubernetes.io/part-of: meshwright
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
istio.io/rev: {{ .Values.revision }}
{{- end }}

{{- define "gateway.selected" -}}
{{- if .Values.labels }}
{{- toYaml .Values.labels }}
{{- else -}}
app: {{ include "gateway.name" . }}
istio: {{ include "gateway.name" . | trimPrefix "istio-" }}
{{- end }}
{{- end }}

{{- define "gateway.discovery" -}}
meshwright{{ if ne .Values.revision "default" }}-{{ .Values.revision }}{{ end }}.{{ .Values.controlPlane.namespace }}.svc:15012
{{- end }}

{{- /* The reference of an image: reference if it is given, else that of name. */}}
{{- define "gateway.image" -}}
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
