{{/*
The web services of the bundled stack that are switched on, as JSON by name, each with the `name` and `namespace` of its
Service, its `port` and its `path`. Names are computed as the stack and Grafana's chart compute them. The addon edition
brings none.
*/}}
{{- define "gorax-monitoring.stack" -}}
{{- $services := dict -}}
{{- if hasKey .Subcharts "kube-prometheus-stack" -}}
{{- $stack := index .Subcharts "kube-prometheus-stack" -}}
{{- $values := index .Values "kube-prometheus-stack" -}}
{{- $fullname := include "kube-prometheus-stack.fullname" $stack -}}
{{- $namespace := include "kube-prometheus-stack.namespace" $stack -}}
{{- range $part, $port := dict "prometheus" 9090 "alertmanager" 9093 -}}
{{- $set := get $values $part -}}
{{- if and (dig "enabled" true $set) (dig "service" "enabled" true $set) -}}
{{- $own := ternary $set.namespaceOverride "" (eq $part "alertmanager") -}}
{{- $path := dig (printf "%sSpec" $part) "routePrefix" "/" $set | trimSuffix "/" -}}
{{- $_ := set $services $part (dict "name" (printf "%s-%s" $fullname $part) "namespace" ($own | default $namespace) "port" (dig "service" "port" $port $set) "path" $path) -}}
{{- end -}}
{{- end -}}
{{- $grafana := $values.grafana -}}
{{- if and (dig "enabled" true $grafana) (dig "service" "enabled" true $grafana) -}}
{{- $chart := $grafana.nameOverride | default "grafana" -}}
{{- $name := contains $chart .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $chart) -}}
{{- $name = $grafana.fullnameOverride | default $name | trunc 63 | trimSuffix "-" -}}
{{- $_ := set $services "grafana" (dict "name" $name "namespace" ($grafana.namespaceOverride | default .Release.Namespace) "port" (dig "service" "port" 80 $grafana) "path" "") -}}
{{- end -}}
{{- end -}}
{{- toJson $services -}}
{{- end -}}

{{/* Where another pod reaches one of them: takes what gorax-monitoring.stack gives for it, or nothing. */}}
{{- define "gorax-monitoring.stackUrl" -}}
{{- with . -}}
http://{{ .name }}.{{ .namespace }}.svc:{{ .port }}{{ .path }}
{{- end -}}
{{- end -}}

{{/* The Secret from which the bundled Grafana takes its administrator, as Grafana's chart reads its values. */}}
{{- define "gorax-monitoring.grafanaSecret" -}}
{{- tpl (dig "grafana" "admin" "existingSecret" "" (index .Values "kube-prometheus-stack")) . -}}
{{- end -}}
