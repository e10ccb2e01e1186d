#!/bin/sh
# What `helm test` runs, in a pod with sh and curl: does Prometheus scrape Gorax, has it loaded this release's rules, does
# Grafana have the dashboards? Each failure says what is wrong and where to look. Right after an installation all of it
# takes minutes to come about, so failures are final only when the time is over.
#
# Variables: PROMETHEUS_URL, NAMESPACES (of named environments; none with discovery), GROUPS_OF_RULES, WAIT_SECONDS,
# RELEASE, RELEASE_NAMESPACE and FULLNAME, with which the names of the release's objects begin; and where dashboards are
# checked GRAFANA_URL, GRAFANA_SECRET, GRAFANA_USER, GRAFANA_PASSWORD and DASHBOARDS.
set -u

# An answer may hold backslashes, which some shells' echo would interpret; so only fixed text is echoed.
ok() {
    printf 'ok    %s\n' "$1"
}

# The first argument says what is wrong, each further one where to look.
wrong() {
    printf 'FAIL  %s\n' "$1"
    shift
    for line in "$@"; do
        printf '      %s\n' "$line"
    done
}

# Prints an answer of Prometheus; the arguments are curl's.
ask() {
    curl --silent --show-error --fail --max-time 10 --get "$@" 2>&1
}

# Prints how many series an expression has.
count() {
    ask --data-urlencode "query=count($1) or vector(0)" "$PROMETHEUS_URL/api/v1/query" |
        sed -n 's/.*"value":\[[^,]*,"\([0-9]*\)"\].*/\1/p'
}

check_prometheus() {
    if ! answer=$(ask --data-urlencode "query=vector(1)" "$PROMETHEUS_URL/api/v1/query"); then
        wrong "Prometheus does not answer at $PROMETHEUS_URL: $answer" \
            "is the address right? kubectl get services --all-namespaces | grep -i prometheus; set tests.prometheusUrl" \
            "does it run? kubectl get pods --all-namespaces --selector app.kubernetes.io/name=prometheus"
        return 1
    fi
    ok "Prometheus answers at $PROMETHEUS_URL"
}

# The API's targets, of one namespace or of all.
check_targets() {
    where="in namespace $1"
    selector="job=\"gorax-api\",namespace=\"$1\""
    if [ -z "$1" ]; then
        where="in any namespace"
        selector="job=\"gorax-api\""
    fi
    found=$(count "up{$selector}")
    up=$(count "up{$selector} == 1")
    if [ "${found:-0}" -eq 0 ]; then
        wrong "Prometheus has no target with the job gorax-api $where" \
            "is there a Service to scrape, and does Prometheus select our monitors? helm get notes $RELEASE --namespace $RELEASE_NAMESPACE" \
            "what would be scraped: kubectl get servicemonitors --namespace $RELEASE_NAMESPACE --selector app.kubernetes.io/instance=$RELEASE --output yaml"
    elif [ "${up:-0}" -lt "$found" ]; then
        down=$(ask --data-urlencode "query=up{$selector} == 0" "$PROMETHEUS_URL/api/v1/query" |
            grep -o '"pod":"[^"]*"' | cut -d '"' -f 4 | sort -u | tr '\n' ' ')
        wrong "$up of $found targets with the job gorax-api $where are up; down: ${down:-unknown}" \
            "Prometheus says why on its page /targets: a refused connection is a wrong port or a pod that is not running," \
            "a timeout is often a NetworkPolicy of Gorax's namespace that does not let Prometheus in"
    else
        ok "$found targets with the job gorax-api $where, all up"
    fi
}

check_environment() {
    known=$(count "gorax:environment:info{namespace=\"$1\"}")
    if [ "${known:-0}" -eq 0 ]; then
        wrong "Prometheus does not know the environment in namespace $1: there is no gorax:environment:info of it" \
            "this release's rules are not loaded: kubectl get prometheusrules --namespace $RELEASE_NAMESPACE --selector app.kubernetes.io/instance=$RELEASE" \
            "does Prometheus select them? helm get notes $RELEASE --namespace $RELEASE_NAMESPACE"
    else
        ok "Prometheus knows the environment in namespace $1"
    fi
}

# The group of this release, of the groups of that name in an answer of Prometheus: another release has the same groups.
# The operator names the file that Prometheus reads after the PrometheusRule's namespace and name.
own_group() {
    sed 's/{"name":"[^"]*","file":"/\
&/g' | grep -E "^\{\"name\":\"$1\",\"file\":\"[^\"]*/$RELEASE_NAMESPACE-$FULLNAME-(configuration|rules-)"
}

# Of a group that is not there nothing is printed: `missing` takes its name, for one line about all of them.
check_group() {
    if ! answer=$(ask --data-urlencode "rule_group[]=$1" "$PROMETHEUS_URL/api/v1/rules"); then
        wrong "Prometheus does not tell of its group $1: $answer"
        return
    fi
    group=$(printf '%s\n' "$answer" | own_group "$1")
    case $group in
    '')
        missing="$missing $1"
        ;;
    *'"health":"err"'*)
        wrong "rules of the group $1 cannot be evaluated" \
            "$(printf '%s\n' "$group" | grep -oE '"lastError":"([^"\\]|\\.)+"' | sort -u)"
        ;;
    *'"health":"unknown"'*)
        wrong "rules of the group $1 have not been evaluated yet" "try again in a minute"
        ;;
    *)
        ok "the rules of the group $1 are loaded and evaluated"
        ;;
    esac
}

# Prints the status of Grafana's answer. The password goes to curl by its standard input: everyone may read a process list.
ask_grafana() {
    login=$(printf '%s:%s' "$GRAFANA_USER" "$GRAFANA_PASSWORD" | sed 's/["\\]/\\&/g')
    printf 'user = "%s"\n' "$login" |
        curl --silent --max-time 10 --config - --output /dev/null --write-out '%{http_code}' "$1"
}

check_dashboard() {
    status=$(ask_grafana "$GRAFANA_URL/api/dashboards/uid/$1")
    case $status in
    200)
        ok "Grafana has the dashboard $1"
        ;;
    000)
        wrong "Grafana does not answer at $GRAFANA_URL" \
            "does it run? kubectl get pods --all-namespaces --selector app.kubernetes.io/name=grafana"
        ;;
    401 | 403)
        wrong "Grafana does not let the user of the Secret $GRAFANA_SECRET in (status $status)" \
            "Grafana reads that Secret at its first start only: was the password changed since?"
        ;;
    404)
        wrong "Grafana has no dashboard $1" \
            "its sidecar loads ConfigMaps by their label: kubectl get configmaps --namespace $RELEASE_NAMESPACE --selector app.kubernetes.io/instance=$RELEASE --show-labels" \
            "what it says, in Grafana's namespace: kubectl logs --selector app.kubernetes.io/name=grafana --container grafana-sc-dashboard"
        ;;
    *)
        wrong "Grafana answers with status $status when asked for the dashboard $1" \
            "what it says, in Grafana's namespace: kubectl logs --selector app.kubernetes.io/name=grafana --container grafana"
        ;;
    esac
}

check_grafana() {
    if [ -z "${GRAFANA_USER:-}" ] || [ -z "${GRAFANA_PASSWORD:-}" ]; then
        wrong "the Secret $GRAFANA_SECRET does not hold Grafana's user and password" \
            "kubectl describe secret $GRAFANA_SECRET --namespace $RELEASE_NAMESPACE; set tests.grafanaSecret to another one"
        return
    fi
    for dashboard in $DASHBOARDS; do
        check_dashboard "$dashboard"
    done
}

check() {
    if check_prometheus; then
        if [ -z "$NAMESPACES" ]; then
            check_targets ""
        fi
        for namespace in $NAMESPACES; do
            check_targets "$namespace"
            check_environment "$namespace"
        done
        missing=
        for group in $GROUPS_OF_RULES; do
            check_group "$group"
        done
        if [ -n "$missing" ]; then
            wrong "Prometheus has not loaded these groups of this release's rules:$missing" \
                "does Prometheus select our rules? helm get notes $RELEASE --namespace $RELEASE_NAMESPACE" \
                "did the operator refuse them? kubectl get events --namespace $RELEASE_NAMESPACE --field-selector involvedObject.kind=PrometheusRule"
        fi
    fi
    if [ -n "${GRAFANA_URL:-}" ]; then
        check_grafana
    fi
}

echo "checking the release $RELEASE, for $WAIT_SECONDS seconds at the most"
deadline=$(($(date +%s) + WAIT_SECONDS))
while
    report=$(check)
    failures=$(printf '%s\n' "$report" | grep -c '^FAIL')
    [ "$failures" -gt 0 ] && [ "$(date +%s)" -lt "$deadline" ]
do
    sleep 5
done
printf '%s\n' "$report"
if [ "$failures" -gt 0 ]; then
    echo "checks that failed: $failures"
    exit 1
fi
