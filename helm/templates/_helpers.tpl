{{/* Names, labels and what more than one template needs. */}}

{{- define "sallyport.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "sallyport.selector" -}}
app.kubernetes.io/name: sallyport
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: gateway
{{- end -}}

{{- define "sallyport.labels" -}}
{{ include "sallyport.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "sallyport.image" -}}
{{- with .Values.image -}}
{{- if not .repository -}}
{{- include "sallyport.fail.image" $ -}}
{{- end -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}{{- else -}}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{- end -}}
{{- end -}}
{{- end -}}

{{/* `address:port` of a listener, whether it is written as text or as { address }. */}}
{{- define "sallyport.listen" -}}
{{- $listen := index . 0 -}}
{{- if kindIs "map" $listen -}}{{ $listen.address }}{{- else -}}{{ $listen }}{{- end -}}
{{- end -}}

{{- define "sallyport.port" -}}
{{- regexFind "[0-9]+$" (include "sallyport.listen" .) -}}
{{- end -}}

{{- define "sallyport.caSecret" -}}
{{- if .Values.ca.existingSecret -}}
{{- .Values.ca.existingSecret -}}
{{- else if .Values.ca.certManager.enabled -}}
{{- include "sallyport.fullname" . -}}-ca
{{- end -}}
{{- end -}}

{{/* gateway.yaml as a value: what was written under `config`, and where the chart mounts the CA. */}}
{{- define "sallyport.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if include "sallyport.caSecret" . -}}
{{- $ca := dict "caCertificate" "/etc/sallyport-ca/tls.crt" "caKey" "/etc/sallyport-ca/tls.key" -}}
{{- $_ := set $config "inspection" (merge (dict) ($config.inspection | default dict) $ca) -}}
{{- end -}}
{{- if eq .Values.configReload "restart" -}}
{{- $_ := set $config "reload" (merge (dict) ($config.reload | default dict) (dict "watch" false)) -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* What a running gateway cannot take over from a changed file: in hot mode these still roll the pods. */}}
{{- define "sallyport.restartRequired" -}}
{{- toYaml (pick .Values.config "listen" "workers" "stateDirectory") -}}
{{- end -}}

{{/* What applies the rules: root of its container with one capability, since Kubernetes gives none to others. */}}
{{- define "sallyport.rulesContainer" -}}
{{- $root := index . 0 -}}
image: {{ $root.Values.transparent.image | quote }}
imagePullPolicy: {{ $root.Values.image.pullPolicy }}
args: {{ concat (list "subnet" "--config" "/etc/sallyport/gateway.yaml") (index . 1) | toJson }}
securityContext:
  runAsUser: 0
  runAsNonRoot: false
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  privileged: false
  # The state folder is the gateway's group's, and so is the report that is written there.
  capabilities: { drop: [ALL], add: [NET_ADMIN] }
resources: {{- toYaml $root.Values.transparent.resources | nindent 2 }}
volumeMounts:
  - { name: config, mountPath: /etc/sallyport, readOnly: true }
  - { name: state, mountPath: {{ $root.Values.config.stateDirectory | default "/var/lib/sallyport" }} }
{{- end -}}

{{- define "sallyport.drainSeconds" -}}
{{- $limits := .Values.config.limits | default dict -}}
{{- add (ceil ($limits.drainDelaySeconds | default 0)) (ceil (ternary $limits.drainSeconds 300 (hasKey $limits "drainSeconds"))) -}}
{{- end -}}

{{/* A range as Kubernetes wants it: a bare address is a range of one. */}}
{{- define "sallyport.range" -}}
{{- if contains "/" . -}}{{ . }}{{- else if contains ":" . -}}{{ . }}/128{{- else -}}{{ . }}/32{{- end -}}
{{- end -}}

{{/* The two halves of `10.20.0.7`, `10.20.0.7:8443`, `2001:db8::1` and `[2001:db8::1]:443`; the port is empty where there is none. */}}
{{- define "sallyport.pinAddress" -}}
{{- if hasPrefix "[" . -}}{{ regexFind "[^\\[\\]]+" . }}{{- else if regexMatch "^[0-9.]+(:[0-9]+)?$" . -}}{{ regexFind "^[0-9.]+" . }}{{- else -}}{{ . }}{{- end -}}
{{- end -}}

{{- define "sallyport.pinPort" -}}
{{- if regexMatch "^([0-9.]+|\\[.*\\]):[0-9]+$" . -}}{{ regexFind "[0-9]+$" . }}{{- end -}}
{{- end -}}
