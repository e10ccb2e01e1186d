{{/*
What `helm test` is told, as JSON: `environment`, the variables of scripts/test.sh; and where dashboards are checked `grafana`, the Secret with its user and that Secret's keys.
*/}}
{{- define "gorax-monitoring.test" -}}
{{- $tests := .Values.tests -}}
{{- $stack := include "gorax-monitoring.stack" . | fromJson -}}
{{- /* The operator gives every Prometheus' namespace this Service, whatever the Prometheus is called. */ -}}
{{- $governing := printf "http://prometheus-operated.%s.svc:9090" .Release.Namespace -}}
{{- $prometheus := $tests.prometheusUrl | default (include "gorax-monitoring.stackUrl" $stack.prometheus) | default $governing | trimSuffix "/" -}}
{{- $namespaces := list -}}
{{- range .Values.gorax.environments -}}
{{- $namespaces = append $namespaces .namespace -}}
{{- end -}}
{{- $environment := dict
    "PROMETHEUS_URL" $prometheus
    "NAMESPACES" (sortAlpha $namespaces | join " ")
    "GROUPS_OF_RULES" (include "gorax-monitoring.groups" .)
    "WAIT_SECONDS" (toString $tests.waitSeconds)
    "RELEASE" .Release.Name
    "RELEASE_NAMESPACE" .Release.Namespace
    "FULLNAME" (include "gorax-monitoring.fullname" .) -}}
{{- $settings := dict "environment" $environment -}}
{{- $grafana := $tests.grafanaUrl | default (include "gorax-monitoring.stackUrl" $stack.grafana) | trimSuffix "/" -}}
{{- if and $tests.enabled $grafana .Values.dashboards.enabled -}}
{{- $login := dict "secret" $tests.grafanaSecret "userKey" "admin-user" "passwordKey" "admin-password" -}}
{{- if and $stack.grafana (not $tests.grafanaSecret) -}}
{{- $admin := index .Values "kube-prometheus-stack" "grafana" "admin" -}}
{{- $login = dict "secret" (include "gorax-monitoring.grafanaSecret" .) "userKey" $admin.userKey "passwordKey" $admin.passwordKey -}}
{{- end -}}
{{- if not $login.secret -}}
{{- fail "tests.grafanaUrl needs a user: set tests.grafanaSecret to a Secret in the release's namespace with the keys admin-user and admin-password" -}}
{{- end -}}
{{- $dashboards := list -}}
{{- range $path, $_ := .Files.Glob "files/dashboards/*.json" -}}
{{- $dashboards = append $dashboards (base $path | trimSuffix ".json") -}}
{{- end -}}
{{- $_ := set $environment "GRAFANA_URL" $grafana -}}
{{- $_ := set $environment "GRAFANA_SECRET" $login.secret -}}
{{- $_ := set $environment "DASHBOARDS" (sortAlpha $dashboards | join " ") -}}
{{- $_ := set $settings "grafana" $login -}}
{{- end -}}
{{- toJson $settings -}}
{{- end -}}

{{/* The names of the groups of rules that are rendered. */}}
{{- define "gorax-monitoring.groups" -}}
{{- $root := . -}}
{{- $groups := list "gorax_configuration" -}}
{{- range $path, $bytes := .Files.Glob "files/rules/*.yaml" -}}
{{- range $group := (fromYaml (toString $bytes)).groups -}}
{{- $switch := get ($root.Values.alerts.groups | default dict) $group.name | default dict -}}
{{- $on := ne (toString (get $switch "enabled")) "false" -}}
{{- range $rule := $group.rules -}}
{{- if and $on (or $rule.record (include "gorax-monitoring.alertEnabled" (dict "root" $root "name" $rule.alert "group" $group.name "severity" $rule.labels.severity))) -}}
{{- $groups = append $groups $group.name -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- uniq $groups | sortAlpha | join " " -}}
{{- end -}}
