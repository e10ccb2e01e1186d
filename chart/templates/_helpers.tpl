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
    "workerSelector" ($values.workerSelector | default dict)
    "workerPort" ($values.workerPort | default "")
  | toJson -}}
{{- end -}}

{{/*
The environments to watch, as JSON `{"list": […]}`: the named ones, or one without a namespace, which stands for
discovery. Everything about an installation that cannot work fails here.
*/}}
{{- define "gorax-monitoring.environments" -}}
{{- $root := . -}}
{{- $environments := list -}}
{{- $namespaces := dict -}}
{{- range $name, $values := .Values.gorax.environments -}}
{{- $environment := include "gorax-monitoring.environment" (dict "root" $root "name" $name "values" $values) | fromJson -}}
{{- with get $namespaces $environment.namespace -}}
{{- fail (printf "gorax.environments.%s and gorax.environments.%s are both in namespace %s: their targets could not be told apart; name one of them" . $name $environment.namespace) -}}
{{- end -}}
{{- $_ := set $namespaces $environment.namespace $name -}}
{{- $environments = append $environments $environment -}}
{{- end -}}
{{- if not $environments -}}
{{- $environments = list (dict "name" "" "namespace" "" "layout" .Values.gorax.layout "keepService" "" "selector" dict "port" "http" "workerSelector" dict "workerPort" "") -}}
{{- end -}}
{{- dict "list" $environments | toJson -}}
{{- end -}}

{{/* The name of a monitor of an environment: takes a dict of `root`, `what` and `environment`. */}}
{{- define "gorax-monitoring.monitorName" -}}
{{ include "gorax-monitoring.fullname" .root }}-{{ .what }}{{ with .environment.name }}-{{ . }}{{ end }}
{{- end -}}

{{/* Where a monitor looks. */}}
{{- define "gorax-monitoring.namespaceSelector" -}}
{{- if .namespace -}}
matchNames: [{{ .namespace | quote }}]
{{- else -}}
any: true
{{- end -}}
{{- end -}}

{{/* What API and worker have in common as endpoints: takes a dict of `root`, `port` and `job`. */}}
{{- define "gorax-monitoring.endpoint" -}}
{{- $scrape := .root.Values.gorax.scrape -}}
port: {{ .port | quote }}
path: /metrics
scheme: {{ ternary "https" "http" $scrape.tls.enabled }}
interval: {{ $scrape.interval }}
scrapeTimeout: {{ $scrape.timeout }}
{{- with $scrape.tls }}
{{- if .enabled }}
tlsConfig:
  {{- with .ca }}
  ca:
    secret: {name: {{ .secret | quote }}, key: {{ .key | quote }}}
  {{- end }}
  {{- with .cert }}
  cert:
    secret: {name: {{ .secret | quote }}, key: {{ .key | quote }}}
  {{- end }}
  {{- with .key }}
  keySecret: {name: {{ .secret | quote }}, key: {{ .key | quote }}}
  {{- end }}
  {{- with .serverName }}
  serverName: {{ . | quote }}
  {{- end }}
  {{- if .insecureSkipVerify }}
  insecureSkipVerify: true
  {{- end }}
{{- end }}
{{- end }}
{{- if or $scrape.dropWorkflowBuckets $scrape.metricRelabelings }}
metricRelabelings:
  {{- if $scrape.dropWorkflowBuckets }}
  - action: drop
    sourceLabels: [__name__]
    regex: gorax_workflow_execution_duration_seconds_bucket
  {{- end }}
  {{- with $scrape.metricRelabelings }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
relabelings:
  {{- with trim .relabelings }}
  {{- . | nindent 2 }}
  {{- end }}
  # The operator would name the job after the object, which has the overlay's prefix; rules ask for this name.
  - action: replace
    targetLabel: job
    replacement: {{ .job }}
  {{- with $scrape.relabelings }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Bounds of one scrape; zero stands for none, as in Prometheus. */}}
{{- define "gorax-monitoring.scrapeLimits" -}}
sampleLimit: {{ .Values.gorax.scrape.sampleLimit | int64 }}
labelLimit: {{ .Values.gorax.scrape.labelLimit | int64 }}
{{- end -}}

{{/* The label selector of the API's Service, by layout; that of its pods is the same in the two known layouts. */}}
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

{{/* How the API of an environment is scraped, as a ServiceMonitor's spec: takes a dict of `root` and `environment`. */}}
{{- define "gorax-monitoring.apiMonitor" -}}
{{- $ownService := .root.Values.gorax.metricsService.enabled -}}
{{- $relabelings := include "gorax-monitoring.apiRelabelings" (dict "environment" .environment "ownService" $ownService) -}}
{{- $port := ternary "metrics" .environment.port $ownService -}}
namespaceSelector:
  {{- include "gorax-monitoring.namespaceSelector" .environment | nindent 2 }}
selector:
  {{- if $ownService }}
  matchLabels:
    metrics: "true"
    app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
  {{- else }}
  {{- include "gorax-monitoring.apiSelector" .environment | nindent 2 }}
  {{- end }}
{{ include "gorax-monitoring.scrapeLimits" .root }}
endpoints:
  - {{ include "gorax-monitoring.endpoint" (dict "root" .root "port" $port "job" "gorax-api" "relabelings" $relabelings) | indent 4 | trim }}
{{- end }}

{{/* Which of the Services that the selector finds are targets. */}}
{{- define "gorax-monitoring.apiRelabelings" -}}
{{- if and (eq .environment.layout "auto") (not .ownService) }}
# The guide's Service has no label component; of Gorax's own only the API's is asked for metrics.
- action: keep
  sourceLabels: [__meta_kubernetes_service_label_component]
  regex: (api)?
{{- end }}
{{- if and .environment.keepService (not .ownService) }}
- action: keep
  sourceLabels: [__meta_kubernetes_service_name]
  regex: {{ .environment.keepService }}
{{- end }}
{{- end }}

{{/* The label selector of the workers' pods, by layout. */}}
{{- define "gorax-monitoring.workerSelector" -}}
{{- if eq .layout "kustomize" -}}
matchLabels:
  app: gorax
  component: worker
{{- else if eq .layout "deployment-guide" -}}
matchLabels:
  app: gorax-worker
{{- else if eq .layout "auto" -}}
matchExpressions:
  - key: app
    operator: In
    values: [gorax, gorax-worker]
{{- else -}}
{{- if not .workerSelector -}}
{{- fail (printf "layout custom needs the labels of the workers' pods: set gorax.environments.%s.workerSelector.matchLabels, or switch gorax.worker.podMonitor and gorax.worker.probe off" (.name | default "<name>")) -}}
{{- end -}}
{{- toYaml .workerSelector -}}
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

{{/*
The reference of an image, by the map of its parts; `global.imageRegistry` goes before its own registry. Takes a dict of
`root` and `image`.
*/}}
{{- define "gorax-monitoring.image" -}}
{{- with (.root.Values.global | default dict).imageRegistry | default .image.registry -}}{{ . }}/{{- end -}}
{{- .image.repository -}}
{{- with .image.tag -}}:{{ . }}{{- end -}}
{{- with .image.digest -}}@{{ . }}{{- end -}}
{{- end -}}

{{/*
The entries of a pod's imagePullSecrets: its own, or those of all charts, which may be names or maps as
kube-prometheus-stack takes them. Takes a dict of `root` and `own`.
*/}}
{{- define "gorax-monitoring.imagePullSecrets" -}}
{{- range .own | default (.root.Values.global | default dict).imagePullSecrets }}
- name: {{ if kindIs "map" . }}{{ .name | quote }}{{ else }}{{ . | quote }}{{ end }}
{{- end }}
{{- end -}}

{{/* With these two a pod and each of its containers pass the pod security level `restricted`; no pod of ours needs more. */}}
{{- define "gorax-monitoring.restrictedPod" -}}
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65534
  runAsGroup: 65534
  seccompProfile: {type: RuntimeDefault}
{{- end -}}
{{- define "gorax-monitoring.restrictedContainer" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end -}}
