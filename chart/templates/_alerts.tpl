{{/*
`true` where values leave an alert in, else nothing. Takes a dict of `root`, and of the alert in its rule file `name`,
`group` and `severity`.
*/}}
{{- define "gorax-monitoring.alertEnabled" -}}
{{- $alerts := .root.Values.alerts -}}
{{- $severities := dict "info" 0 "warning" 1 "critical" 2 -}}
{{- $override := get ($alerts.overrides | default dict) .name | default dict -}}
{{- $switch := get ($alerts.groups | default dict) .group | default dict -}}
{{- if not (hasKey $severities $alerts.minSeverity) -}}
{{- fail (printf "alerts.minSeverity is %q: use info, warning or critical" $alerts.minSeverity) -}}
{{- end -}}
{{- $severity := $override.severity | default .severity -}}
{{- if not (hasKey $severities $severity) -}}
{{- fail (printf "alerts.overrides.%s.severity is %q: use info, warning or critical" .name $severity) -}}
{{- end -}}
{{- $off := or (eq (toString (get $override "enabled")) "false") (eq (toString (get $switch "enabled")) "false") -}}
{{- /* No severity makes it more or less wanted where something waits for it to stop. */ -}}
{{- $awaited := and (eq .name "GoraxWatchdog") .root.Values.notifications.watchdog.enabled -}}
{{- $below := and (not $awaited) (lt (get $severities $severity) (get $severities $alerts.minSeverity)) -}}
{{- if and $alerts.enabled (not $off) (not $below) -}}
true
{{- end -}}
{{- end -}}

{{/*
The alerts that values leave in and that say nothing yet, as JSON: `waiting` for a source, `uninstrumented` by Gorax.
What they need is in files/alert-sources.yaml.
*/}}
{{- define "gorax-monitoring.silentAlerts" -}}
{{- $root := . -}}
{{- $file := fromYaml (.Files.Get "files/alert-sources.yaml") -}}
{{- if not (hasKey $file "waiting") -}}
{{- fail "the chart holds no list of alert sources: files/alert-sources.yaml is missing from it" -}}
{{- end -}}
{{- $silent := dict "waiting" dict "uninstrumented" dict -}}
{{- range $why, $kept := $silent -}}
{{- range $name, $alert := get $file $why -}}
{{- if include "gorax-monitoring.alertEnabled" (dict "root" $root "name" $name "group" $alert.group "severity" $alert.severity) -}}
{{- $_ := set $kept $name $alert -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $silent -}}
{{- end -}}

{{/*
The series of the environments that this release watches. Named environments are its own alone, since other releases
may watch others in the same cluster; discovery watches all.
*/}}
{{- define "gorax-monitoring.ownEnvironments" -}}
{{- $namespaces := list -}}
{{- range .Values.gorax.environments -}}
{{- $namespaces = append $namespaces .namespace -}}
{{- end -}}
gorax:environment:info
{{- if $namespaces -}}
{namespace=~"{{ sortAlpha $namespaces | join "|" }}"}
{{- end -}}
{{- end -}}

{{/*
A rule's expression, narrowed to the environments of this release: each of two releases in a cluster evaluates its
rules, with its overrides, over its own. Takes a dict of `root` and `rule`.
*/}}
{{- define "gorax-monitoring.narrowed" -}}
{{- $monitoring := eq (get (.rule.labels | default dict) "component" | default "") "monitoring" -}}
{{- if or $monitoring (not .root.Values.gorax.environments) -}}
{{- .rule.expr -}}
{{- else -}}
{{- printf "(\n%s\n)\nand on (namespace)\n%s\n" (trimSuffix "\n" .rule.expr) (include "gorax-monitoring.ownEnvironments" .root) -}}
{{- end -}}
{{- end -}}

{{/*
The sources that values name, each kind once for a namespace, as JSON `{"list": [{source, namespace}]}`. The namespace is
empty where the workers' probe goes to those that are discovered.
*/}}
{{- define "gorax-monitoring.namedSources" -}}
{{- $root := . -}}
{{- $named := list -}}
{{- range $kind := keys .Values.sources | sortAlpha -}}
{{- range $name, $source := get $root.Values.sources $kind -}}
{{- $namespace := include "gorax-monitoring.sourceNamespace" (dict "root" $root "where" (printf "sources.%s.%s" $kind $name) "source" $source) -}}
{{- $named = append $named (dict "source" $kind "namespace" $namespace) -}}
{{- end -}}
{{- end -}}
{{- if .Values.gorax.worker.probe.enabled -}}
{{- range (include "gorax-monitoring.environments" . | fromJson).list -}}
{{- $named = append $named (dict "source" "workerProbe" "namespace" .namespace) -}}
{{- end -}}
{{- end -}}
{{- dict "list" (uniq $named) | toJson -}}
{{- end -}}
