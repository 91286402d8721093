{{- /* The name of a revision's objects, its Service among them. */}}
{{- define "controlplane.service" -}}
{{- if eq . "default" }}meshwright{{ else }}meshwright-{{ . }}{{ end }}
{{- end }}

{{- define "controlplane.name" -}}
{{- include "controlplane.service" .Values.revision }}
{{- end }}

{{- /* The Service of the revision that answers the webhooks. */}}
{{- define "controlplane.answering" -}}
{{- include "controlplane.service" (.Values.webhooks.answeredBy | default .Values.revision) }}
{{- end }}

{{- define "controlplane.suffix" -}}
{{- if ne .Values.revision "default" }}-{{ .Values.revision }}{{ end }}
{{- end }}

{{- /* The name of the ClusterRole: with its namespace, since another release may have the same name elsewhere. */}}
{{- define "controlplane.role" -}}
{{- printf "%s-%s" (include "controlplane.name" .) .Release.Namespace }}
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

{{- /* The reference of an image: reference if it is given, else that of name. */}}
{{- define "controlplane.image" -}}
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
