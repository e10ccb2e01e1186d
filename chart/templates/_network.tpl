{{/*
The pods that a network policy is about, as JSON by part: the `namespace` and the `labels` by which they are selected.
Those of the bundled stack are labelled by the operator and by the stack's charts, ours by this one.
*/}}
{{- define "gorax-monitoring.parts" -}}
{{- $parts := dict -}}
{{- if hasKey .Subcharts "kube-prometheus-stack" -}}
{{- $stack := index .Subcharts "kube-prometheus-stack" -}}
{{- $values := index .Values "kube-prometheus-stack" -}}
{{- $namespace := include "kube-prometheus-stack.namespace" $stack -}}
{{- $alertmanagers := dig "alertmanager" "namespaceOverride" "" $values | default $namespace -}}
{{- $inner := dict "grafana" (dig "grafana" "enabled" true $values) "kube-state-metrics" (dig "kubeStateMetrics" "enabled" true $values) -}}
{{- if dig "prometheus" "enabled" true $values -}}
{{- $name := ternary "prometheus-agent" "prometheus" (dig "prometheus" "agentMode" false $values) -}}
{{- $labels := dict "app.kubernetes.io/name" $name "operator.prometheus.io/name" (include "kube-prometheus-stack.prometheus.crname" $stack) -}}
{{- $_ := set $parts "prometheus" (dict "namespace" $namespace "labels" $labels) -}}
{{- end -}}
{{- if dig "alertmanager" "enabled" true $values -}}
{{- $labels := dict "app.kubernetes.io/name" "alertmanager" "alertmanager" (include "kube-prometheus-stack.alertmanager.crname" $stack) -}}
{{- $_ := set $parts "alertmanager" (dict "namespace" $alertmanagers "labels" $labels) -}}
{{- end -}}
{{- if dig "prometheusOperator" "enabled" true $values -}}
{{- $labels := dict "app" (printf "%s-operator" (include "kube-prometheus-stack.name" $stack)) "release" .Release.Name -}}
{{- $_ := set $parts "operator" (dict "namespace" $namespace "labels" $labels) -}}
{{- end -}}
{{- $release := .Release -}}
{{- range $chart, $enabled := $inner -}}
{{- if $enabled -}}
{{- $set := get $values $chart -}}
{{- $labels := dict "app.kubernetes.io/name" ($set.nameOverride | default $chart) "app.kubernetes.io/instance" $release.Name -}}
{{- $_ := set $parts $chart (dict "namespace" ($set.namespaceOverride | default $release.Namespace) "labels" $labels) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $own := include "gorax-monitoring.exporterSelector" . | fromYaml -}}
{{- $_ := set $parts "test" (dict "namespace" .Release.Namespace "labels" (merge (dict "app.kubernetes.io/component" "test") $own)) -}}
{{- range $kind := list "blackbox" "postgres" "redis" -}}
{{- range get $.Values.sources $kind -}}
{{- if hasKey . "deploy" -}}
{{- $component := printf "%s-exporter" $kind -}}
{{- $_ := set $parts $component (dict "namespace" $.Release.Namespace "labels" (merge (dict "app.kubernetes.io/component" $component) $own)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $parts -}}
{{- end -}}

{{/*
What must get through to each part, as JSON by part: a list of `from`, the parts and `clients` or `anyone`, and `ports`.
*/}}
{{- define "gorax-monitoring.flows" -}}
prometheus:
  - {from: [prometheus, grafana, test, clients], ports: [9090]}
  # The configuration's reloader, and the Thanos sidecar's own metrics.
  - {from: [prometheus], ports: [8080, 10902]}
  - {from: [clients], ports: [10901]}
alertmanager:
  - {from: [prometheus, grafana, clients], ports: [9093]}
  - {from: [prometheus], ports: [8080]}
  # Replicas tell each other what was sent. Without it everyone is notified by each.
  - {from: [alertmanager], ports: [9094], protocols: [TCP, UDP]}
grafana:
  - {from: [prometheus, test, clients], ports: [3000]}
  # Replicas of an alerting of Grafana's own.
  - {from: [grafana], ports: [9094], protocols: [TCP, UDP]}
operator:
  # The API server asks whether a rule is valid, from an address that no selector knows.
  {{- $operator := dig "prometheusOperator" dict (index .Values "kube-prometheus-stack" | default dict) }}
  - {from: [anyone], ports: [{{ dig "tls" "enabled" true $operator | ternary (dig "tls" "internalPort" 10250 $operator) 8080 }}]}
kube-state-metrics:
  - {from: [prometheus], ports: [8080, 8081]}
{{- range $kind := list "blackbox" "postgres" "redis" }}
{{ $kind }}-exporter:
  - {from: [prometheus], ports: [{{ include "gorax-monitoring.exporterPort" $kind }}]}
{{- end }}
{{- end -}}

{{/* The peers of a rule: takes a dict of `root`, `parts` and `from`. */}}
{{- define "gorax-monitoring.peers" -}}
{{- $from := .from -}}
{{- $parts := .parts -}}
{{- range $from }}
{{- if eq . "clients" }}
{{- range $.root.Values.networkPolicy.clients }}
- namespaceSelector:
    matchLabels: {kubernetes.io/metadata.name: {{ .namespace | quote }}}
  {{- with .podLabels }}
  podSelector:
    matchLabels: {{ toJson . }}
  {{- end }}
{{- end }}
{{- else if hasKey $parts . }}
{{- with get $parts . }}
- namespaceSelector:
    matchLabels: {kubernetes.io/metadata.name: {{ .namespace | quote }}}
  podSelector:
    matchLabels: {{ toJson .labels }}
{{- end }}
{{- else if eq . "prometheus" }}
{{- /* The addon edition does not know the Prometheus that scrapes; the operator labels its pods everywhere alike. */}}
- namespaceSelector: {}
  podSelector:
    matchExpressions:
      - {key: app.kubernetes.io/name, operator: In, values: [prometheus, prometheus-agent]}
{{- end }}
{{- end }}
{{- end -}}
