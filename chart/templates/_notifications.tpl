{{/*
What notifications come down to, as JSON: the `receivers` that are switched on, the `routes` in their order, which alerts
silence which (`inhibitRules`), and `timeIntervals` by name. Both editions print it, each in its own dialect. All that
values can get wrong about notifications fails here or where it is printed.
*/}}
{{- define "gorax-monitoring.notifications" -}}
{{- $notifications := .Values.notifications -}}
{{- $receivers := (include "gorax-monitoring.notificationReceivers" . | fromJson).list -}}
{{- $enabled := list -}}
{{- range $receivers -}}
{{- $enabled = append $enabled .name -}}
{{- end -}}
{{- $watchdog := ternary "watchdog" "null" (has "watchdog" $enabled) -}}
{{- $routes := list (dict
    "why" "The dead man's switch: what receives it must ring when it no longer comes."
    "matchers" (list (list "alertname" "=" "GoraxWatchdog"))
    "receiver" $watchdog "groupWait" "0s" "groupInterval" "1m" "repeatInterval" $notifications.watchdog.interval) -}}
{{- range $severity := list "critical" "warning" "info" "default" -}}
{{- $where := printf "notifications.routes.%s" $severity -}}
{{- $matchers := list (list "severity" "=" $severity) -}}
{{- if eq $severity "default" -}}
{{- $matchers = list -}}
{{- end -}}
{{- $chosen := include "gorax-monitoring.chosenReceivers" (dict "where" $where "value" (get $notifications.routes $severity) "enabled" $enabled) | fromJson -}}
{{- $times := include "gorax-monitoring.routeTimes" (dict "muteTimes" $notifications.muteTimes "severity" $severity) | fromJson -}}
{{- range $index, $receiver := $chosen.list -}}
{{- $routes = append $routes (dict
    "matchers" $matchers "receiver" $receiver "repeatInterval" (get $notifications.repeatInterval $severity)
    "mute" $times.mute "active" $times.active "continue" (lt (add1 $index) (len $chosen.list))) -}}
{{- end -}}
{{- end -}}
{{- $groupBy := list -}}
{{- range $label, $wanted := $notifications.groupBy -}}
{{- if $wanted -}}
{{- $groupBy = append $groupBy $label -}}
{{- end -}}
{{- end -}}
{{- $intervals := dict -}}
{{- range $name, $entry := $notifications.muteTimes -}}
{{- $_ := set $intervals $name $entry.timeIntervals -}}
{{- end -}}
{{- dict
    "receivers" $receivers
    "routes" $routes
    "groupBy" (sortAlpha $groupBy)
    "groupWait" $notifications.groupWait
    "groupInterval" $notifications.groupInterval
    "inhibitRules" (include "gorax-monitoring.inhibitRules" . | fromJson).list
    "timeIntervals" $intervals
  | toJson -}}
{{- end -}}

{{/* The Secret with the receivers' credentials. The bundled stack mounts it by this name, so it has no release's. */}}
{{- define "gorax-monitoring.notificationsSecret" -}}
gorax-monitoring-notifications
{{- end -}}

{{/* The receivers that are switched on, with the watchdog's, as JSON `{"list": [{name, kind, …}]}`. */}}
{{- define "gorax-monitoring.notificationReceivers" -}}
{{- $root := . -}}
{{- $notifications := .Values.notifications -}}
{{- $kinds := list "pagerduty" "slack" "email" "webhook" -}}
{{- $receivers := list -}}
{{- range $name := keys $notifications.receivers | sortAlpha -}}
{{- if not (has $name $kinds) -}}
{{- fail (printf "notifications.receivers.%s: there is no such receiver; use %s" $name (join ", " $kinds)) -}}
{{- end -}}
{{- end -}}
{{- range $kind := append $kinds "watchdog" -}}
{{- $where := ternary "notifications.watchdog" (printf "notifications.receivers.%s" $kind) (eq $kind "watchdog") -}}
{{- $values := ternary $notifications.watchdog (get $notifications.receivers $kind) (eq $kind "watchdog") -}}
{{- if $values.enabled -}}
{{- $_ := include "gorax-monitoring.usableReceiver" (dict "where" $where "kind" $kind "values" $values) -}}
{{- $receivers = append $receivers (merge (dict "name" $kind "kind" (ternary "webhook" $kind (eq $kind "watchdog"))) $values) -}}
{{- end -}}
{{- end -}}
{{- if $notifications.watchdog.enabled -}}
{{- if not (include "gorax-monitoring.alertEnabled" (dict "root" $root "name" "GoraxWatchdog" "group" "gorax_monitoring" "severity" "info")) -}}
{{- fail "notifications.watchdog is enabled, but other values leave the alert GoraxWatchdog out, so that what receives it would ring for ever: take back alerts.enabled, alerts.groups.gorax_monitoring.enabled or alerts.overrides.GoraxWatchdog.enabled, or switch notifications.watchdog off" -}}
{{- end -}}
{{- end -}}
{{- dict "list" $receivers | toJson -}}
{{- end -}}

{{/* Fails where a receiver could not send anything. Takes a dict of `where`, `kind` and `values`. */}}
{{- define "gorax-monitoring.usableReceiver" -}}
{{- $where := .where -}}
{{- $secret := include "gorax-monitoring.notificationsSecret" . -}}
{{- $values := .values -}}
{{- if eq .kind "email" -}}
{{- range $key := list "to" "from" "smarthost" -}}
{{- if not (get $values $key) -}}
{{- fail (printf "%s is enabled without %s: set %s.%s" $where $key $where $key) -}}
{{- end -}}
{{- end -}}
{{- if and $values.authenticate (not $values.secretKey) -}}
{{- fail (printf "%s is enabled without a password: set %s.secretKey to the key of the Secret %s that holds it, or %s.authenticate to false for a server that asks for none" $where $where $secret $where) -}}
{{- end -}}
{{- else if not (or $values.secretKey $values.url) -}}
{{- $or := ternary (printf ", or %s.url where the address is no secret" $where) "" (has .kind (list "webhook" "watchdog")) -}}
{{- fail (printf "%s is enabled, but nothing says where to send to: set %s.secretKey to the key of the Secret %s that holds it%s" $where $where $secret $or) -}}
{{- end -}}
{{- end -}}

{{/*
The receivers of a route that are switched on, or `null`, which notifies nobody, as JSON `{"list": […]}`. Takes a dict of
`where`, `value` (a name or a list of names) and `enabled`.
*/}}
{{- define "gorax-monitoring.chosenReceivers" -}}
{{- $where := .where -}}
{{- $enabled := .enabled -}}
{{- $names := .value -}}
{{- if not (kindIs "slice" $names) -}}
{{- $names = list $names -}}
{{- end -}}
{{- $known := list "pagerduty" "slack" "email" "webhook" -}}
{{- $chosen := list -}}
{{- range $name := $names -}}
{{- if has $name $known -}}
{{- if has $name $enabled -}}
{{- $chosen = append $chosen $name -}}
{{- end -}}
{{- else if ne (toString $name) "none" -}}
{{- fail (printf "%s names the receiver %q: use none, %s" $where (toString $name) (join ", " $known)) -}}
{{- end -}}
{{- end -}}
{{- dict "list" (uniq $chosen | default (list "null")) | toJson -}}
{{- end -}}

{{/* The names of the times that concern a severity, as JSON: `mute` and `active`. Takes a dict of `muteTimes` and `severity`. */}}
{{- define "gorax-monitoring.routeTimes" -}}
{{- $severity := .severity -}}
{{- $times := dict "mute" list "active" list -}}
{{- range $name, $entry := .muteTimes -}}
{{- $notify := $entry.notify | default "outside" -}}
{{- if not (has $notify (list "outside" "within")) -}}
{{- fail (printf "notifications.muteTimes.%s.notify is %q: use outside, for no notification during these times, or within, for none at any other" $name (toString $notify)) -}}
{{- end -}}
{{- if not (and $entry.timeIntervals $entry.severities) -}}
{{- fail (printf "notifications.muteTimes.%s needs timeIntervals, and severities that it is about" $name) -}}
{{- end -}}
{{- if has $severity $entry.severities -}}
{{- $which := ternary "mute" "active" (eq $notify "outside") -}}
{{- $_ := set $times $which (append (get $times $which) $name) -}}
{{- end -}}
{{- end -}}
{{- toJson $times -}}
{{- end -}}

{{/*
Which of our alerts silence which, always within a namespace, as JSON `{"list": […]}`. A cause is never among the targets
of another, so that one of them is always heard.
*/}}
{{- define "gorax-monitoring.inhibitRules" -}}
{{- $ours := list "family" "!=" "" -}}
{{- $rules := list
    (dict
      "why" "The graver one of a pair says it all."
      "source" (list (list "severity" "=" "critical") $ours)
      "target" (list (list "severity" "=~" "warning|info") $ours)
      "equal" (list "namespace" "family"))
    (dict
      "source" (list (list "severity" "=" "warning") $ours)
      "target" (list (list "severity" "=" "info") $ours)
      "equal" (list "namespace" "family")) -}}
{{- $causes := list
    (dict "why" "No API: what its clients and its probes see follows."
      "alerts" "GoraxAPIDown|GoraxEnvironmentNotFound" "families" "http-errors|http-latency|slo-api|api-readiness|api-metrics")
    (dict "why" "No database: no API is ready and no replica follows. That it is full may be the cause, and is heard."
      "alerts" "DatabaseConnectionFailure" "families" "database-replication|database-transactions|api-readiness")
    (dict "why" "No Redis: likewise."
      "alerts" "RedisConnectionFailure" "families" "redis-replication|api-readiness")
    (dict "why" "No workers: the queue grows and executions wait."
      "alerts" "NoActiveWorkers" "families" "queue-backlog|workflow-stalled") -}}
{{- range $causes -}}
{{- $rules = append $rules (dict
    "why" .why
    "source" (list (list "alertname" "=~" .alerts))
    "target" (list (list "family" "=~" .families))
    "equal" (list "namespace")) -}}
{{- end -}}
{{- dict "list" $rules | toJson -}}
{{- end -}}

{{/*
What a receiver sends, from notifications.yaml, as JSON: `fields`, whose names are the same in Alertmanager's
configuration and in an AlertmanagerConfig, and `details`, `links` and `headers`. Takes a dict of `root` and `receiver`.
*/}}
{{- define "gorax-monitoring.message" -}}
{{- $receiver := .receiver -}}
{{- $texts := .root.Files.Get "notifications.yaml" | fromYaml -}}
{{- if not (hasKey $texts "parts") -}}
{{- fail "the chart holds no texts of notifications: notifications.yaml is missing from it" -}}
{{- end -}}
{{- $message := get $texts $receiver.kind | default (dict "fields" dict) -}}
{{- range $name := ternary (list "channel" "title" "text") (list "to" "from" "smarthost") (eq $receiver.kind "slack") -}}
{{- with get $receiver $name -}}
{{- $_ := set $message.fields $name . -}}
{{- end -}}
{{- end -}}
{{- range $kind, $named := pick $message "fields" "details" "headers" -}}
{{- range $name, $text := $named -}}
{{- $_ := set $named $name (include "gorax-monitoring.withParts" (dict "parts" $texts.parts "text" $text)) -}}
{{- end -}}
{{- end -}}
{{- range $message.links -}}
{{- $_ := set . "href" (include "gorax-monitoring.withParts" (dict "parts" $texts.parts "text" .href)) -}}
{{- end -}}
{{- toJson $message -}}
{{- end -}}

{{/* A text, and before it the parts that it uses. Takes a dict of `parts` and `text`. */}}
{{- define "gorax-monitoring.withParts" -}}
{{- $text := .text -}}
{{- range $name, $part := .parts -}}
{{- if contains (printf "template %q" $name) $text -}}{{ $part }}{{- end -}}
{{- end -}}
{{- $text -}}
{{- end -}}
