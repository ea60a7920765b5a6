{{/* What would not work in a cluster fails here, with what to do about it, before anything is installed. */}}

{{- define "sallyport.fail.image" -}}
{{- fail (printf `image.repository is required: the image that you build and push with

    az acr build --registry REGISTRY --image sallyport:%s .

in the folder of the Dockerfile, and then name with

    --set image.repository=REGISTRY.azurecr.io/sallyport` .Chart.AppVersion) -}}
{{- end -}}

{{- define "sallyport.checks" -}}
{{- $config := .Values.config -}}
{{- if not ($config.clients).allow -}}
{{- fail "config.clients.allow is required: the ranges that may use the gateway, as in --set 'config.clients.allow={10.0.0.0/24}'; nobody else gets in" -}}
{{- end -}}
{{- range $name := list "proxy" "metrics" "admin" -}}
{{- if not (get ($config.listen | default dict) $name) -}}
{{- fail (printf "config.listen.%s is required in a pod; leave it out to get the chart's own" $name) -}}
{{- end -}}
{{- end -}}
{{- range $name := list "proxy" "metrics" -}}
{{- $address := include "sallyport.listen" (list (get $config.listen $name)) -}}
{{- if or (hasPrefix "127." $address) (hasPrefix "[::1]" $address) -}}
{{- fail (printf "config.listen.%s is `%s`, where only its own pod reaches it; use `0.0.0.0:PORT` or `[::]:PORT`" $name $address) -}}
{{- end -}}
{{- if eq (include "sallyport.port" (list (get $config.listen $name))) "0" -}}
{{- fail (printf "config.listen.%s has port 0, and a Service needs to know the real one; give it a port" $name) -}}
{{- end -}}
{{- end -}}
{{- $admin := include "sallyport.listen" (list $config.listen.admin) -}}
{{- if not (or (hasPrefix "127." $admin) (hasPrefix "[::1]" $admin)) -}}
{{- fail (printf "config.listen.admin is `%s`; it stays on loopback, as in `127.0.0.1:9465`: reach it with kubectl port-forward" $admin) -}}
{{- end -}}
{{- $notice := mul .Values.probes.readinessPeriodSeconds .Values.probes.readinessFailures -}}
{{- $delay := ($config.limits).drainDelaySeconds | default 0 -}}
{{- if le (int64 $delay) (int64 $notice) -}}
{{- fail (printf "config.limits.drainDelaySeconds is %v, and readiness takes %d seconds to be noticed (probes.readinessPeriodSeconds times readinessFailures); set it to %d or more, or clients are sent to a gateway that no longer accepts" $delay $notice (add $notice 5)) -}}
{{- end -}}
{{- if and .Values.ca.existingSecret .Values.ca.certManager.enabled -}}
{{- fail "ca.existingSecret and ca.certManager.enabled are both set; the CA comes from one of them" -}}
{{- end -}}
{{- if and .Values.ca.certManager.enabled (not .Values.ca.certManager.issuerRef.name) -}}
{{- fail "ca.certManager.issuerRef is required with ca.certManager.enabled, as in { kind: ClusterIssuer, name: corp-root }" -}}
{{- end -}}
{{- if .Values.transparent.enabled -}}
{{- if not .Values.transparent.image -}}
{{- fail "transparent.image is required with transparent.enabled: the gateway's image with nftables, from deploy/rules.Dockerfile" -}}
{{- end -}}
{{- if not ($config.listen).transparent -}}
{{- fail "config.listen.transparent is required with transparent.enabled, as in { tls: \"0.0.0.0:3443\", http: \"0.0.0.0:3080\", tcp: \"0.0.0.0:3333\" }" -}}
{{- end -}}
{{- if not ($config.subnet).ranges -}}
{{- fail "config.subnet.ranges is required with transparent.enabled: the ranges whose route leads to these nodes" -}}
{{- end -}}
{{- if ne (($config.subnet).others | default "drop") "leave" -}}
{{- fail "config.subnet.others has to be `leave` with transparent.enabled: a node forwards the packets of its pods, and `drop` would cut them off" -}}
{{- end -}}
{{- if not .Values.nodeSelector -}}
{{- fail "nodeSelector is required with transparent.enabled: the nodes that are the next hop, in a pool that is for nothing else, as in { agentpool: egress }" -}}
{{- end -}}
{{- else if ($config.subnet).ranges -}}
{{- fail "config.subnet.ranges does nothing in a pod of its own network: packets of a route never get there. Set transparent.enabled, or leave it out" -}}
{{- end -}}
{{- $metrics := .Values.metrics -}}
{{- if and $metrics.monitor.enabled (not $metrics.enabled) -}}
{{- fail "metrics.monitor.enabled needs metrics.enabled: a ServiceMonitor selects the metrics Service" -}}
{{- end -}}
{{- if and $metrics.rules.enabled (eq $metrics.monitor.apiGroup "azmonitoring.coreos.com") -}}
{{- fail "metrics.rules.enabled does nothing with Azure's managed Prometheus, which reads no PrometheusRule; deploy deploy/azure/prometheus-rule-groups.json instead" -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) -}}
{{- fail "autoscaling.minReplicas is more than autoscaling.maxReplicas" -}}
{{- end -}}
{{- end -}}
