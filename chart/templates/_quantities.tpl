{{/*
Bytes of a size as Kubernetes (`60Gi`, `60G`) or Prometheus writes it (`50GB`, `50GiB`); in the latter, with a B, both
mean powers of two. Takes a dict of `where` and `value`.
*/}}
{{- define "gorax-monitoring.bytes" -}}
{{- $text := toString .value -}}
{{- if not (regexMatch "^[0-9]+([.][0-9]+)?([kKMGTPE]i?)?B?$" $text) -}}
{{- fail (printf "%s is %q: write a size, such as 50GB for Prometheus or 60Gi for Kubernetes" .where $text) -}}
{{- end -}}
{{- $number := regexFind "^[0-9.]+" $text | float64 -}}
{{- $unit := regexFind "[kKMGTPE]" $text | upper -}}
{{- $step := ternary 1024 1000 (or (contains "i" $text) (hasSuffix "B" $text)) -}}
{{- range $each := list "K" "M" "G" "T" "P" "E" -}}
{{- if $unit -}}
{{- $number = mulf $number $step -}}
{{- end -}}
{{- if eq $each $unit -}}
{{- $unit = "" -}}
{{- end -}}
{{- end -}}
{{- printf "%.0f" $number -}}
{{- end -}}

{{/* Seconds of a duration as Prometheus writes it, `15d` or `1h30m`. Takes a dict of `where` and `value`. */}}
{{- define "gorax-monitoring.seconds" -}}
{{- $text := toString .value -}}
{{- if not (regexMatch "^([0-9]+(ms|[smhdwy]))+$" $text) -}}
{{- fail (printf "%s is %q: write a duration, such as 15d" .where $text) -}}
{{- end -}}
{{- $units := dict "s" 1 "m" 60 "h" 3600 "d" 86400 "w" 604800 "y" 31536000 -}}
{{- $seconds := 0 -}}
{{- range regexFindAll "[0-9]+(ms|[smhdwy])" $text -1 -}}
{{- $seconds = add $seconds (mul (regexFind "^[0-9]+" . | int64) (get $units (regexFind "[a-z]+$" .) | default 0)) -}}
{{- end -}}
{{- $seconds -}}
{{- end -}}
