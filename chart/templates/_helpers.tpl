{{/* The release's name where that says what it is, else the two together. */}}
{{- define "gorax-monitoring.fullname" -}}
{{- if contains "gorax-monitoring" .Release.Name -}}
{{- .Release.Name -}}
{{- else -}}
{{- printf "%s-gorax-monitoring" .Release.Name -}}
{{- end -}}
{{- end -}}

{{/* Labels of every object. The chart's version may hold a `+`, which a label may not. */}}
{{- define "gorax-monitoring.labels" -}}
app.kubernetes.io/name: gorax-monitoring
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
app.kubernetes.io/part-of: gorax
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" | trimSuffix "." | trimSuffix "_" | quote }}
{{- end -}}

{{/* Labels by which a Prometheus selects our monitors and rules. */}}
{{- define "gorax-monitoring.selectorLabels" -}}
{{- toYaml (.Values.selectorLabels | default (dict "release" .Release.Name)) -}}
{{- end -}}

{{/*
The environment `name` with everything that may be left out filled in, as JSON: a template can only return text.
Takes a dict of `root`, `name`, `values`.
*/}}
{{- define "gorax-monitoring.environment" -}}
{{- $values := .values | default dict -}}
{{- if not $values.namespace -}}
{{- fail (printf "gorax.environments.%s has no namespace: set gorax.environments.%s.namespace to the namespace that this Gorax runs in" .name .name) -}}
{{- end -}}
{{- $prefix := $values.namePrefix | default "" -}}
{{- $deployments := $values.deployments | default dict -}}
{{- dict
    "name" .name
    "namespace" $values.namespace
    "layout" ($values.layout | default .root.Values.gorax.layout)
    "keepService" ($values.service | default "")
    "service" ($values.service | default (printf "%sgorax-api" $prefix))
    "apiDeployment" ($deployments.api | default (printf "%sgorax-api" $prefix))
    "workerDeployment" ($deployments.worker | default (printf "%sgorax-worker" $prefix))
    "dbMaxOpenConnections" ($values.dbMaxOpenConnections | default .root.Values.gorax.dbMaxOpenConnections)
    "selector" ($values.selector | default dict)
    "port" ($values.port | default "http")
  | toJson -}}
{{- end -}}

{{/* The label selector of the API's Service, by layout. */}}
{{- define "gorax-monitoring.apiSelector" -}}
{{- if eq .layout "kustomize" -}}
matchLabels:
  app: gorax
  component: api
{{- else if eq .layout "deployment-guide" -}}
matchLabels:
  app: gorax-api
{{- else if eq .layout "auto" -}}
matchExpressions:
  - key: app
    operator: In
    values: [gorax, gorax-api]
{{- else if eq .layout "custom" -}}
{{- if not .selector -}}
{{- fail (printf "layout custom needs the labels of the API's Service: set gorax.environments.%s.selector.matchLabels" (.name | default "<name>")) -}}
{{- end -}}
{{- toYaml .selector -}}
{{- else -}}
{{- fail (printf "unknown layout %q: use auto, kustomize, deployment-guide or custom" .layout) -}}
{{- end -}}
{{- end -}}

{{/*
A number of an override, as PromQL writes it. `--set` makes a string of 0.2, so those are taken too; anything else would
end up in the expression. Takes a dict of `where` and `value`.
*/}}
{{- define "gorax-monitoring.number" -}}
{{- if not (regexMatch "^[-+]?[0-9]+([.][0-9]+)?([eE][-+]?[0-9]+)?$" (toString .value)) -}}
{{- fail (printf "%s is %q: a number is expected" .where (toString .value)) -}}
{{- end -}}
{{- float64 .value -}}
{{- end -}}
