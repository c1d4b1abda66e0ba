{{/*
The sidecar, for a pod template of another chart. The context is that of this chart: `.Subcharts.aegis` in a chart that
has it as a dependency. deploy/helm/agent uses each of them.

  aegis.sidecar.initContainers  for `initContainers`, before those that ask Aegis; empty if `sidecar.native` is false
  aegis.sidecar.containers      for `containers`; empty if `sidecar.native` is true
  aegis.sidecar.volumes         for `volumes`
  aegis.sidecar.pod             for the pod's `spec`: what holds for the whole pod
  aegis.podAnnotations          for the annotations of the pod template
  aegis.agent.env               for `env` of the agent's container
  aegis.agent.volumeMounts      for `volumeMounts` of the agent's container: the socket, nothing else of the daemon's
*/}}

{{- define "aegis.sidecar.initContainers" -}}
{{- if .Values.sidecar.native }}{{ include "aegis.sidecar.container" . }}{{ end -}}
{{- end -}}

{{- define "aegis.sidecar.containers" -}}
{{- if not .Values.sidecar.native }}{{ include "aegis.sidecar.container" . }}{{ end -}}
{{- end -}}

{{- define "aegis.sidecar.container" -}}
- name: aegis
  image: {{ include "aegis.image" . | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  {{- if .Values.sidecar.native }}
  # Native: ready before the agent starts, stopped after it, and a Job ends with its agent.
  restartPolicy: Always
  {{- end }}
  args:
    {{- include "aegis.commonArgs" . | nindent 4 }}
    - --uds
    - /run/aegis/agent.sock
    {{- with .Values.extraArgs }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  env:
    # A directory inside the volume, so that it can be 0700 whoever owns the volume's root.
    - {name: AEGIS_DATA_DIR, value: /var/lib/aegis/data}
  {{- if .Values.metrics.enabled }}
  ports:
    - {name: aegis-metrics, containerPort: {{ .Values.metrics.port }}}
  {{- end }}
  {{- include "aegis.probes" (dict "endpoint" "unix:/run/aegis/agent.sock") | nindent 2 }}
  resources:
    {{- toYaml .Values.resources | nindent 4 }}
  securityContext:
    {{- include "aegis.securityContext" . | nindent 4 }}
  volumeMounts:
    {{- include "aegis.commonMounts" . | nindent 4 }}
    - {name: aegis-socket, mountPath: /run/aegis}
{{- end -}}

{{- define "aegis.sidecar.volumes" -}}
{{ include "aegis.commonVolumes" . }}
- name: aegis-socket
  emptyDir: {medium: Memory, sizeLimit: 1Mi}
{{- with .Values.sidecar.record }}
{{- if .existingClaim }}
- name: aegis-record
  persistentVolumeClaim:
    claimName: {{ .existingClaim }}
{{- else if not .volumeClaimTemplate }}
- name: aegis-record
  emptyDir: {sizeLimit: {{ .emptyDirSize }}}
{{- end }}
{{- end }}
{{- end -}}

{{- define "aegis.sidecar.pod" -}}
# The daemon asks the API server for nothing. An agent that does can mount a token into its own container.
automountServiceAccountToken: false
# Or the agent could see the daemon's process, and send it signals.
shareProcessNamespace: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  # The daemon can write to its volumes and the agent can use the socket. The agent's own user must be another one.
  fsGroup: 65532
  # Not the files inside: their modes are the daemon's business.
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "aegis.agent.env" -}}
- {name: AEGIS_ENDPOINT, value: "unix:/run/aegis/agent.sock"}
{{- end -}}

{{- define "aegis.agent.volumeMounts" -}}
# Connecting to a socket writes nothing. Read-only, so that the agent cannot put another one in its place.
- {name: aegis-socket, mountPath: /run/aegis, readOnly: true}
{{- end -}}
