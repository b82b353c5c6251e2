{{/* Labels, and what every pod of the chart has in common. */}}
{{- define "taskwire.selector" -}}
app.kubernetes.io/name: taskwire
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "taskwire.labels" -}}
{{ include "taskwire.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "taskwire.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "taskwire.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "taskwire.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "taskwire.environment" -}}
- name: TASKWIRE_DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ .Values.database.existingSecret }}
      key: url
{{- with .Values.database.readUrlsKey }}
- name: TASKWIRE_READ_URLS
  valueFrom:
    secretKeyRef:
      name: {{ $.Values.database.existingSecret }}
      key: {{ . }}
{{- end }}
- name: TASKWIRE_SIGNING_KEY_FILE
  value: /keys/signing-key.pem
{{- range $name, $value := .Values.settings }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{/* What a replica has beyond the migration: the admin port and TLS. */}}
{{- define "taskwire.serving" -}}
{{- if hasKey .Values.settings "TASKWIRE_ADMIN_LISTEN" }}
{{- fail "the probes need the admin port: set admin.port instead of TASKWIRE_ADMIN_LISTEN" }}
{{- end }}
- name: TASKWIRE_ADMIN_LISTEN
  value: {{ printf "0.0.0.0:%v" .Values.admin.port | quote }}
{{- if .Values.tls.existingSecret }}
- name: TASKWIRE_TLS_CERT_FILE
  value: /tls/tls.crt
- name: TASKWIRE_TLS_KEY_FILE
  value: /tls/tls.key
{{- with .Values.tls.clientCaKey }}
- name: TASKWIRE_TLS_CLIENT_CA_FILE
  value: /tls/{{ . }}
{{- end }}
{{- else if .Values.tls.clientCaKey }}
{{- fail "tls.clientCaKey is of use only with tls.existingSecret" }}
{{- end }}
{{- end }}
