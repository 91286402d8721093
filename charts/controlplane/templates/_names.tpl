{{- define "controlplane.name" -}}
{{- if eq .Values.revision "default" }}meshwright{{ else }}meshwright-{{ .Values.revision }}{{ end }}
{{- end }}

{{- define "controlplane.suffix" -}}
{{- if ne .Values.revision "default" }}-{{ .Values.revision }}{{ end }}
{{- end }}

{{- define "controlplane.selector" -}}
app: meshwright
istio.io/rev: {{ .Values.revision }}
{{- end }}

{{- define "controlplane.labels" -}}
{{ include "controlplane.selector" . }}
app.kubernetes.io/name: meshwright
app.kubernetes.io/instance: {{ include "controlplane.name" . }}
app.kubernetes.io/component: controlplane
app.kubernetes.io/part-of: meshwright
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "controlplane.tag" -}}
{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
