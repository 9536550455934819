{{- /* What all pods share. None speaks to the Kubernetes API. */ -}}

{{- define "gatewright.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "gatewright.container" -}}
image: {{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) | quote }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "gatewright.database" -}}
- name: GATEWRIGHT_DATABASE
  valueFrom:
    secretKeyRef: {name: {{ .Values.existingSecret }}, key: database}
{{- end }}

{{- define "gatewright.environment" -}}
env:
  {{- include "gatewright.database" . | nindent 2 }}
  - name: GATEWRIGHT_WORKER__DRAIN
    value: {{ .Values.drain | quote }}
  {{- with .Values.bus }}
  - name: GATEWRIGHT_BUS
    value: {{ . | quote }}
  {{- end }}
{{- end }}

{{- define "gatewright.imported" -}}
{{- with .Values.environmentSecret }}
envFrom:
  - secretRef: {name: {{ . }}}
{{- end }}
{{- end }}

{{- define "gatewright.mounts" -}}
- {name: files, mountPath: /etc/gatewright, readOnly: true}
- {name: data, mountPath: /var/lib/gatewright}
- {name: temporary, mountPath: /tmp}
- {name: keys, mountPath: /var/lib/gatewright/ledger.key, subPath: ledger.key, readOnly: true}
{{- end }}

{{- define "gatewright.volumes" -}}
- name: files
  configMap: {name: {{ include "gatewright.name" . }}}
- name: data
  emptyDir: {}
- name: temporary
  emptyDir: {}
- name: keys
  secret:
    secretName: {{ .Values.existingSecret }}
    defaultMode: 0440
    items:
      - {key: ledger.key, path: ledger.key}
      - {key: session.key, path: session.key}
{{- end }}

{{- define "gatewright.spread" -}}
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "gatewright.selector" .root | nindent 6 }}
      app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- /* Requests in flight end before runs do, so `drain` passes twice; the rest is for endpoints and the ledger. */ -}}
{{- define "gatewright.grace" -}}
{{ add (mul 2 (int .Values.drain)) 20 }}
{{- end }}
