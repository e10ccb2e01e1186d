{{/*
The alerts that wait for a source, by what would end it, as JSON. Where environments are named it says in
which of them; with discovery a source anywhere is enough, since what it will find is not known here.
*/}}
{{- define "gorax-monitoring.waitingFor" -}}
{{- $root := . -}}
{{- $named := (include "gorax-monitoring.namedSources" . | fromJson).list -}}
{{- $environments := (include "gorax-monitoring.environments" . | fromJson).list -}}
{{- $waiting := dict -}}
{{- range $alert, $needs := (include "gorax-monitoring.silentAlerts" . | fromJson).waiting -}}
{{- $remedies := list -}}
{{- range $needs.alternatives -}}
{{- $remedies = append $remedies (printf "sources.%s" (join " and sources." .sources) | replace "sources.workerProbe" "gorax.worker.probe") -}}
{{- end -}}
{{- $lacking := list -}}
{{- range $environment := $environments -}}
{{- $served := false -}}
{{- range $needs.alternatives -}}
{{- $missing := .sources -}}
{{- range $named -}}
{{- if or (not $environment.namespace) (eq .namespace $environment.namespace) -}}
{{- $missing = without $missing .source -}}
{{- end -}}
{{- end -}}
{{- $served = or $served (not $missing) -}}
{{- end -}}
{{- if not $served -}}
{{- $lacking = append $lacking $environment.name -}}
{{- end -}}
{{- end -}}
{{- if $lacking -}}
{{- $remedy := uniq $remedies | join " or " -}}
{{- with compact $lacking -}}
{{- $remedy = printf "%s for %s" $remedy (join ", " .) -}}
{{- end -}}
{{- $_ := set $waiting $remedy (append (get $waiting $remedy | default list) $alert) -}}
{{- end -}}
{{- end -}}
{{- toJson $waiting -}}
{{- end -}}

{{/* A label selector as `kubectl --selector` takes it. */}}
{{- define "gorax-monitoring.selectorText" -}}
{{- $terms := list -}}
{{- range $key, $value := .matchLabels -}}
{{- $terms = append $terms (printf "%s=%s" $key $value) -}}
{{- end -}}
{{- range .matchExpressions -}}
{{- if has .operator (list "In" "NotIn") -}}
{{- $terms = append $terms (printf "%s %s (%s)" .key (lower .operator) (join ", " .values)) -}}
{{- else -}}
{{- $terms = append $terms (printf "%s%s" (ternary "" "!" (eq .operator "Exists")) .key) -}}
{{- end -}}
{{- end -}}
{{- join "," $terms -}}
{{- end -}}

{{/* The command that shows the Services by which an environment's API is found: takes a dict of `root` and `environment`. */}}
{{- define "gorax-monitoring.showServices" -}}
{{- $monitor := include "gorax-monitoring.apiMonitor" . | fromYaml -}}
kubectl get services {{ with .environment.namespace }}--namespace {{ . }}{{ else }}--all-namespaces{{ end }} --selector '{{ include "gorax-monitoring.selectorText" $monitor.selector }}'
{{- end -}}
