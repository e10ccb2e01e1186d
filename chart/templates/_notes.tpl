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

{{/*
Who is notified, what is still to be done for it, and how to try it. Takes a dict of `root` and `alertmanager`, which is
what gorax-monitoring.stack gives for it, or nothing.
*/}}
{{- define "gorax-monitoring.notificationNotes" -}}
{{- $root := .root -}}
{{- $notifications := include "gorax-monitoring.notifications" $root | fromJson -}}
{{- $secret := include "gorax-monitoring.notificationsSecret" . -}}
{{- $namespace := (.alertmanager | default dict).namespace | default $root.Release.Namespace -}}
{{- $keys := list -}}
{{- $reached := list -}}
{{- range $notifications.routes -}}
{{- $reached = append $reached .receiver -}}
{{- end -}}
{{- $unreached := list -}}
{{- range $notifications.receivers -}}
{{- if and .secretKey (not .url) (or (ne .kind "email") .authenticate) -}}
{{- $keys = append $keys .secretKey -}}
{{- end -}}
{{- if not (has .name $reached) -}}
{{- $unreached = append $unreached .name -}}
{{- end -}}
{{- end }}
{{- $isOurs := true -}}
{{- if hasKey $root.Subcharts "kube-prometheus-stack" -}}
{{- $isOurs = include "gorax-monitoring.ownsAlertmanager" (dict "alertmanager" (index $root.Values "kube-prometheus-stack").alertmanager "receivers" $notifications.receivers) -}}
{{- end -}}
{{- if and $isOurs (not $notifications.receivers) }}

Nobody is notified of alerts yet: see notifications in the values.
{{- else if $isOurs }}
{{- with $unreached }}

No route leads to {{ join " and " . }}, so nothing is sent there: see notifications.routes.
{{- end }}
{{- with $keys }}

Notifications need these keys of the Secret {{ $secret }} in namespace {{ $namespace }}; this shows which it has:

  {{ uniq . | sortAlpha | join ", " }}

  kubectl get secret {{ $secret }} --namespace {{ $namespace }} --output go-template='{{ "{{" }}range $key, $_ := .data}}{{ "{{" }}$key}} {{ "{{" }}end}}{{ "{{" }}"\n"}}'
{{- end }}
{{- if .alertmanager }}

Try the notifications of critical alerts, while the port-forward to Alertmanager runs:
{{- else }}

Does your Alertmanager take our AlertmanagerConfig? Its selector must match the labels below, and its strategy be None, or
OnNamespaceExceptForAlertmanagerNamespace in its own namespace, else it takes no alert of Gorax's namespaces:

  kubectl get alertmanagers --all-namespaces --output custom-columns='NAMESPACE:.metadata.namespace,NAME:.metadata.name,SELECTOR:.spec.alertmanagerConfigSelector,STRATEGY:.spec.alertmanagerConfigMatcherStrategy.type'

Try the notifications of critical alerts, with a port-forward to your Alertmanager:
{{- end }}

  curl --json '[{"labels": {"alertname": "NotificationTest", "severity": "critical", "namespace": "{{ $root.Release.Namespace }}", "family": "test"}, "annotations": {"summary": "A test"}}]' http://localhost:9093{{ (.alertmanager | default dict).path }}/api/v2/alerts
{{- end }}
{{- end -}}
