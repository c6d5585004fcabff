{{- define "orderkeep.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}{{ .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else -}}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" }}{{- end -}}
{{- end }}

{{- /* What pods are selected by: of (dict "root" $ "role" "api"). */ -}}
{{- define "orderkeep.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .role }}
{{- end }}

{{- define "orderkeep.labels" -}}
{{ include "orderkeep.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "orderkeep.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}{{ $image.repository }}@{{ $image.digest }}
{{- else -}}{{ $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}{{- end -}}
{{- end }}

{{- /* Under which names requests come to a process: of its Service, of its pod, and those of the values. */ -}}
{{- define "orderkeep.hosts" -}}
{{- $service := printf "%s-%s" (include "orderkeep.fullname" .root) .role -}}
{{- $namespace := .root.Release.Namespace -}}
{{- $names := list $service (printf "%s.%s" $service $namespace) (printf "%s.%s.svc" $service $namespace) (printf "%s.%s.svc.cluster.local" $service $namespace) -}}
{{- concat $names .others | join "," -}},$(POD_IP)
{{- end }}

{{- /* A URL of PostgreSQL, from the Secret: of (dict "root" $ "name" "ORDERKEEP_…" "key" "url"). */ -}}
{{- define "orderkeep.databaseEnv" -}}
- name: {{ .name }}
  valueFrom: {secretKeyRef: {name: {{ .root.Values.database.existingSecret | quote }}, key: {{ .key | quote }}}}
{{- end }}

{{- define "orderkeep.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "orderkeep.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* Services named orderkeep-… would otherwise be injected as settings that nobody knows. */ -}}
{{- define "orderkeep.podBasics" -}}
automountServiceAccountToken: false
enableServiceLinks: false
serviceAccountName: {{ .Values.serviceAccountName }}
securityContext: {{- include "orderkeep.podSecurity" . | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: tmp
    emptyDir: {sizeLimit: 64Mi}
  {{- with .Values.extraVolumes }}{{ toYaml . | nindent 2 }}{{- end }}
{{- end }}

{{- define "orderkeep.mounts" -}}
- name: tmp
  mountPath: /tmp
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* A probe names localhost: the address of a pod is none of the names that may be asked for. */ -}}
{{- define "orderkeep.probe" -}}
httpGet:
  path: {{ . }}
  port: http
  httpHeaders: [{name: Host, value: localhost}]
{{- end }}
