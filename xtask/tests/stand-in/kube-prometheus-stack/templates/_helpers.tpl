{{/* Names and labels as kube-prometheus-stack makes them; first those that a chart around it may ask for. */}}
{{- define "kube-prometheus-stack.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- define "kube-prometheus-stack.fullname" -}}
{{- $chart := .Values.nameOverride | default .Chart.Name -}}
{{- $both := contains $chart .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $chart) -}}
{{- .Values.fullnameOverride | default $both | trunc 26 | trimSuffix "-" -}}
{{- end -}}
{{- define "kube-prometheus-stack.prometheus.crname" -}}
{{- include "kube-prometheus-stack.fullname" . }}{{ if not .Values.cleanPrometheusOperatorObjectNames }}-prometheus{{ end -}}
{{- end -}}
{{- define "kube-prometheus-stack.alertmanager.crname" -}}
{{- include "kube-prometheus-stack.fullname" . }}{{ if not .Values.cleanPrometheusOperatorObjectNames }}-alertmanager{{ end -}}
{{- end -}}
{{- define "kube-prometheus-stack.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace -}}
{{- end -}}

{{/* An object down to its labels, where the caller may go on. Takes root, API, kind, name, and what follows in its label `app`. */}}
{{- define "stand-in.object" -}}
{{- $root := index . 0 -}}
---
apiVersion: {{ index . 1 }}
kind: {{ index . 2 }}
metadata:
  name: {{ index . 3 }}
  namespace: {{ include "kube-prometheus-stack.namespace" $root }}
  labels:
    app: {{ include "kube-prometheus-stack.name" $root }}{{ index . 4 }}
    app.kubernetes.io/managed-by: {{ $root.Release.Service }}
    app.kubernetes.io/instance: {{ $root.Release.Name | quote }}
    app.kubernetes.io/version: {{ $root.Chart.Version | quote }}
    app.kubernetes.io/part-of: {{ include "kube-prometheus-stack.name" $root }}
    chart: {{ $root.Chart.Name }}-{{ $root.Chart.Version }}
    release: {{ $root.Release.Name | quote }}
    heritage: {{ $root.Release.Service }}
    {{- if or (eq (index . 2) "ServiceAccount") (regexMatch "^-(operator|admission)" (index . 4)) }}
    {{- $part := regexFind "prometheus|alertmanager" (index . 4) | default "prometheus-operator" }}
    app.kubernetes.io/name: {{ include "kube-prometheus-stack.name" $root }}-{{ $part }}
    app.kubernetes.io/component: {{ $part }}{{ if hasPrefix "-admission" (index . 4) }}-webhook{{ end }}
    {{- end }}
{{- end -}}

{{/* The name of what is a chart of its own inside the real one. Takes the root and that chart's name. */}}
{{- define "stand-in.inner.name" -}}
{{- $release := (index . 0).Release.Name -}}
{{- contains (index . 1) $release | ternary $release (printf "%s-%s" $release (index . 1)) | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* As stand-in.object, for an inner chart. Takes root, API, kind, the chart's name, and what follows in the object's name. */}}
{{- define "stand-in.inner.object" -}}
{{- $root := index . 0 -}}
{{- $chart := index . 3 -}}
{{- $versions := get (dict "grafana" "12.11.1 13.2.0" "kube-state-metrics" "8.4.0 2.20.0" "prometheus-node-exporter" "4.56.1 1.12.1") $chart | splitList " " -}}
---
apiVersion: {{ index . 1 }}
kind: {{ index . 2 }}
metadata:
  name: {{ include "stand-in.inner.name" (list $root $chart) }}{{ index . 4 }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    helm.sh/chart: {{ $chart }}-{{ first $versions }}
    app.kubernetes.io/name: {{ $chart }}
    app.kubernetes.io/instance: {{ $root.Release.Name | quote }}
    app.kubernetes.io/version: {{ last $versions | quote }}
    {{- if ne $chart "grafana" }}
    app.kubernetes.io/managed-by: {{ $root.Release.Service }}
    app.kubernetes.io/component: metrics
    app.kubernetes.io/part-of: {{ $chart }}
    release: {{ $root.Release.Name | quote }}
    {{- end }}
{{- end -}}

{{/* Takes the root, the values of an image, and the tag where they have none. */}}
{{- define "stand-in.image" -}}
{{- $image := index . 1 -}}
{{- printf "%s/%s:%s" ((index . 0).Values.global.imageRegistry | default $image.registry) $image.repository ($image.tag | default (index . 2)) -}}
{{- end -}}

{{/* A container's image and, where values have any, resources. Takes what stand-in.image takes, and the resources. */}}
{{- define "stand-in.container" -}}
image: {{ include "stand-in.image" . }}{{ with index . 3 }}
resources: {{ toJson . }}{{ end }}
{{- end -}}

{{/* A workload down to its containers. Takes the labels of its pods and the name of its ServiceAccount. */}}
{{- define "stand-in.pods" -}}
selector: {matchLabels: {{ toJson (index . 0) }}}
template:
  metadata: {labels: {{ toJson (index . 0) }}}
  spec:
    serviceAccountName: {{ index . 1 }}
{{- end -}}

{{/* Keeps pods apart. Takes `soft` or `hard`, the pods' name, and their label with the custom resource's name. */}}
{{- define "stand-in.affinity" -}}
{{- $name := dict "key" "app.kubernetes.io/name" "operator" "In" "values" (list (index . 1)) -}}
{{- $crname := dict "key" (index . 2) "operator" "In" "values" (list (index . 3)) -}}
{{- $term := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" (dict "matchExpressions" (list $name $crname)) | toJson -}}
{{- if eq (index . 0) "hard" -}}
{podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{{ $term }}]}}
{{- else if eq (index . 0) "soft" -}}
{podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 100, podAffinityTerm: {{ $term }}}]}}
{{- end -}}
{{- end -}}
