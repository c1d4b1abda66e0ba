{{/* What the two ways of deploying have in common. The context is always that of this chart. */}}

{{- define "aegis.fullname" -}}
{{- if contains "aegis" .Release.Name -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-aegis" (.Release.Name | trunc 44 | trimSuffix "-") }}
{{- end -}}
{{- end -}}

{{- define "aegis.selectorLabels" -}}
app.kubernetes.io/name: aegis
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "aegis.labels" -}}
{{ include "aegis.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "aegis.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ printf "%s@%s" .repository .digest }}
{{- else -}}
{{ printf "%s:%s" .repository (.tag | default $.Chart.AppVersion) }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "aegis.policyConfigMap" -}}
{{ .Values.policy.existingConfigMap | default (printf "%s-policy" (include "aegis.fullname" .)) }}
{{- end -}}

{{/* Annotations of the pods. */}}
{{- define "aegis.podAnnotations" -}}
{{- if .Values.policy.restartOnChange -}}
checksum/aegis-policy: {{ .Values.policy.files | toJson | sha256sum }}
{{- end -}}
{{- end -}}

{{/* The policy files, the identities and the metrics: arguments that both ways have. */}}
{{- define "aegis.commonArgs" -}}
- serve
{{- $files := .Values.policy.existingFiles }}
{{- if not .Values.policy.existingConfigMap }}{{ $files = keys .Values.policy.files | sortAlpha }}{{ end }}
{{- range $files }}
- {{ printf "/etc/aegis/policy/%s" . }}
{{- end }}
{{- if or .Values.identities.text .Values.identities.existingSecret }}
- --auth
- /etc/aegis/identities/identities.yaml
{{- end }}
- --admin-listen
{{- with .Values.metrics }}
- {{ ternary (printf "%s:%v" .address .port) "off" .enabled | quote }}
{{- end }}
{{- end -}}

{{- define "aegis.securityContext" -}}
runAsUser: 65532
runAsGroup: 65532
runAsNonRoot: true
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* `probes` with the context and what leads to the daemon: ("endpoint", URL), or nothing for the data directory. */}}
{{- define "aegis.probes" -}}
{{- $command := list "/aegis" "healthcheck" -}}
{{- with .endpoint }}{{ $command = concat $command (list "--endpoint" .) }}{{ end -}}
startupProbe:
  exec: {command: {{ $command | toJson }}}
  periodSeconds: 1
  timeoutSeconds: 2
  failureThreshold: 60
readinessProbe:
  exec: {command: {{ $command | toJson }}}
  periodSeconds: 5
  timeoutSeconds: 2
# Whether it runs, not whether it can record: it recovers from a full disk by itself.
livenessProbe:
  exec: {command: {{ concat $command (list "--service" "aegis.v1.AuditService") | toJson }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end -}}

{{- define "aegis.commonMounts" -}}
# The directory, not one file by subPath: only a directory follows a change of the ConfigMap.
- {name: aegis-policy, mountPath: /etc/aegis/policy, readOnly: true}
- {name: aegis-record, mountPath: /var/lib/aegis}
{{- if or .Values.identities.text .Values.identities.existingSecret }}
- {name: aegis-identities, mountPath: /etc/aegis/identities, readOnly: true}
{{- end }}
{{- end -}}

{{- define "aegis.commonVolumes" -}}
- name: aegis-policy
  configMap:
    name: {{ include "aegis.policyConfigMap" . }}
{{- if or .Values.identities.text .Values.identities.existingSecret }}
- name: aegis-identities
  secret:
    secretName: {{ .Values.identities.existingSecret | default (printf "%s-identities" (include "aegis.fullname" .)) }}
{{- end }}
{{- end -}}
