//! Values for the bundled stack that it takes without a word and that cannot work: the chart's templates refuse them, and
//! where `cargo xtask check` asks the same of profiles, it gives the same answer.

use anyhow::{Result, anyhow, ensure};

use super::full::STAND_IN;
use super::rendered::Rendered;
use super::{Case, Context, Subject};
use crate::assemble::look_back;
use crate::check::retention;
use crate::model::values::Fragment;
use crate::tools::{HELM3, HELM4, Tool};

/// Values below `kube-prometheus-stack.prometheus.prometheusSpec`, and the key that is to blame, or nothing where all is
/// well. Both the templates and the check know them.
const STORAGE: [(&str, &str); 14] = [
    (
        "{retention: 30d, retentionSize: 100GB, storageSpec: {volumeClaimTemplate: {spec: {resources: {requests: {storage: 120Gi}}}}}}",
        "",
    ),
    ("{retention: 2w1d, retentionSize: 51GiB}", ""),
    ("{retentionSize: 52GB}", "retentionSize"),
    ("{retentionSize: 60GB}", "retentionSize"),
    ("{retentionSize: 50Gi}", "retentionSize"),
    ("{retentionSize: ''}", "retentionSize"),
    ("{retentionSize: 50}", "retentionSize"),
    (
        "{storageSpec: {volumeClaimTemplate: {spec: {resources: {requests: {storage: 60G}}}}}, retentionSize: 51GB}",
        "retentionSize",
    ),
    ("{storageSpec: {volumeClaimTemplate: {spec: {resources: {requests: {storage: 50Gi}}}}}}", "retentionSize"),
    ("{storageSpec: {volumeClaimTemplate: {spec: {resources: {requests: {storage: 1Ti}}}}}, retentionSize: 0.8TB}", ""),
    ("{retention: 13d}", "retention"),
    ("{retention: 14d}", ""),
    ("{retention: ''}", "retention"),
    ("{retention: 15 days}", "retention"),
];

/// Values of a whole installation, and a part of the message, or nothing where all is well.
const VALUES: [(&str, &str); 35] = [
    (
        "alerts: {groups: {gorax_slo: {enabled: false}}}\nkube-prometheus-stack: {prometheus: {prometheusSpec: {retention: 2d}}}",
        "",
    ),
    (
        "kube-prometheus-stack: {prometheus: {prometheusSpec: {retention: 2d}}}",
        "rules of the group gorax_slo look back 14d",
    ),
    ("kube-prometheus-stack: {prometheus: {enabled: false, prometheusSpec: {retention: 2d}}}", ""),
    // Without a claim of its own.
    ("kube-prometheus-stack: {prometheus: {prometheusSpec: {storageSpec: {emptyDir: {sizeLimit: 60Gi}}}}}", ""),
    (
        "kube-prometheus-stack: {prometheus: {prometheusSpec: {storageSpec: {emptyDir: {sizeLimit: 50Gi}}}}}",
        "retentionSize is 50GB, and the volume has 50Gi",
    ),
    (
        "kube-prometheus-stack: {prometheus: {service: {sessionAffinity: ClientIP}, prometheusSpec: {replicas: 2, storageSpec: {emptyDir: {}}}}}",
        "asks for 2 pods without volumes of their own",
    ),
    (
        "kube-prometheus-stack: {prometheus: {service: {sessionAffinity: ClientIP}, prometheusSpec: {replicas: 2, storageSpec: null}}}",
        "asks for 2 pods without volumes of their own",
    ),
    ("kube-prometheus-stack: {prometheus: {prometheusSpec: {storageSpec: null, retentionSize: ''}}}", ""),
    (
        "kube-prometheus-stack: {prometheus: {prometheusSpec: {storageSpec: {volumeClaimTemplate: {spec: {resources: {requests: {storage: plenty}}}}}}}}",
        "storageSpec is \"plenty\"",
    ),
    (
        "kube-prometheus-stack: {prometheus: {prometheusSpec: {storageSpec: {ephemeral: {volumeClaimTemplate: {spec: {resources: {requests: {storage: 50Gi}}}}}}}}}",
        "and the volume has 50Gi",
    ),
    (
        "kube-prometheus-stack: {prometheus: {service: {sessionAffinity: ClientIP}, prometheusSpec: {replicas: 2, storageSpec: {ephemeral: {volumeClaimTemplate: {spec: {resources: {requests: {storage: 60Gi}}}}}}}}}",
        "without volumes of their own",
    ),
    // An object store.
    (
        "kube-prometheus-stack: {prometheus: {prometheusSpec: {thanos: {objectStorageConfig: {name: s, key: k}}}}}",
        "names no Secret, so nothing would be uploaded",
    ),
    (
        "kube-prometheus-stack: {prometheus: {prometheusSpec: {thanos: {objectStorageConfig: {existingSecret: {name: s, key: k}}}}}}",
        "",
    ),
    ("kube-prometheus-stack: {prometheus: {prometheusSpec: {thanos: {logLevel: info}}}}", ""),
    // Replicas behind one Service.
    ("kube-prometheus-stack: {prometheus: {prometheusSpec: {replicas: 2}}}", "dashboards would jump between them"),
    ("kube-prometheus-stack: {prometheus: {service: {sessionAffinity: ClientIP}, prometheusSpec: {replicas: 2}}}", ""),
    (
        "kube-prometheus-stack: {grafana: {sidecar: {datasources: {url: 'http://thanos-query:9090'}}}, prometheus: {prometheusSpec: {replicas: 2}}}",
        "",
    ),
    ("kube-prometheus-stack: {grafana: {enabled: false}, prometheus: {prometheusSpec: {replicas: 2}}}", ""),
    (
        "kube-prometheus-stack: {prometheus: {service: {sessionAffinity: ClientIP}, prometheusSpec: {replicas: 2, replicaExternalLabelNameClear: true}}}",
        "would collide",
    ),
    // Shards.
    (
        "kube-prometheus-stack: {prometheus: {service: {sessionAffinity: ClientIP}, prometheusSpec: {shards: 2}}}",
        "would alert that it is gone",
    ),
    (
        "kube-prometheus-stack: {prometheus: {service: {sessionAffinity: ClientIP}, prometheusSpec: {shards: 2, scrapeClasses: [{name: a, relabelings: [{targetLabel: __tmp_disable_sharding, replacement: x}]}]}}}",
        "would alert that it is gone",
    ),
    (
        "kube-prometheus-stack: {prometheus: {service: {sessionAffinity: ClientIP}, prometheusSpec: {shards: 2, scrapeClasses: [{name: a, default: true, relabelings: [{targetLabel: __tmp_disable_sharding, replacement: x}]}]}}}",
        "",
    ),
    (
        "gorax: {scrape: {additionalScrapeConfigs: {enabled: true}}}\nkube-prometheus-stack: {prometheus: {service: {sessionAffinity: ClientIP}, prometheusSpec: {shards: 2, scrapeClasses: [{name: a, default: true, relabelings: [{targetLabel: __tmp_disable_sharding, replacement: x}]}]}}}",
        "spreads additional scrape configurations",
    ),
    // Budgets.
    (
        "kube-prometheus-stack: {prometheus: {podDisruptionBudget: {enabled: true}}}",
        "prometheus.podDisruptionBudget lets none of 1 pods go",
    ),
    (
        "kube-prometheus-stack: {alertmanager: {podDisruptionBudget: {enabled: true}}}",
        "alertmanager.podDisruptionBudget lets none of 1 pods go",
    ),
    (
        "kube-prometheus-stack: {alertmanager: {podDisruptionBudget: {enabled: true, minAvailable: 3}, alertmanagerSpec: {replicas: 3}}}",
        "lets none of 3 pods go",
    ),
    (
        "kube-prometheus-stack: {alertmanager: {podDisruptionBudget: {enabled: true, minAvailable: 67%}, alertmanagerSpec: {replicas: 3}}}",
        "lets none of 3 pods go",
    ),
    (
        "kube-prometheus-stack: {alertmanager: {podDisruptionBudget: {enabled: true, minAvailable: 66%}, alertmanagerSpec: {replicas: 3}}}",
        "",
    ),
    (
        "kube-prometheus-stack: {alertmanager: {podDisruptionBudget: {enabled: true, maxUnavailable: 1}, alertmanagerSpec: {replicas: 3}}}",
        "has minAvailable and maxUnavailable",
    ),
    (
        "kube-prometheus-stack: {alertmanager: {podDisruptionBudget: {enabled: true, minAvailable: null, maxUnavailable: 1}, alertmanagerSpec: {replicas: 3}}}",
        "",
    ),
    (
        "kube-prometheus-stack: {alertmanager: {podDisruptionBudget: {enabled: true, minAvailable: null, maxUnavailable: 0}, alertmanagerSpec: {replicas: 3}}}",
        "lets none of 3 pods go",
    ),
    // Grafana.
    ("kube-prometheus-stack: {grafana: {replicas: 2}}", "grafana asks for 2 replicas"),
    (
        "kube-prometheus-stack: {grafana: {replicas: 2, grafana.ini: {database: {type: postgres, host: db}}}}",
        "grafana asks for 2 replicas",
    ),
    (
        "kube-prometheus-stack: {grafana: {replicas: 2, persistence: {enabled: false}, grafana.ini: {database: {type: postgres, host: db}}}}",
        "",
    ),
    ("kube-prometheus-stack: {grafana: {autoscaling: {enabled: true, maxReplicas: 3}}}", "grafana asks for 3 replicas"),
];

pub(super) fn cases(context: &Context) -> Vec<Case> {
    let mut cases = Vec::new();
    for subject in &context.full {
        // The templates are ours and the same; what differs is what a stack has for values that nobody sets.
        let helms = if subject.name == STAND_IN { &[HELM3, HELM4][..] } else { &[HELM4] };
        for helm in helms.iter().copied() {
            let subject = subject.clone();
            let name = format!(
                "{} full edition with the {}: values for the stack that cannot work are refused",
                helm.name, subject.name
            );
            cases.push(Case::new(name, &[helm], move |context| refused(context, helm, &subject)));
        }
    }
    cases.push(Case::new("check refuses the same retentions as the templates", &[], check));
    cases
}

fn of_spec(spec: &str) -> String {
    format!("kube-prometheus-stack: {{prometheus: {{prometheusSpec: {spec}}}}}")
}

fn refused(context: &Context, helm: Tool, subject: &Subject) -> Result<()> {
    let file = context.temporary.path().join("stack-values.yaml");
    let keys = STORAGE.map(|(spec, key)| {
        let message = if key.is_empty() { String::new() } else { format!("prometheusSpec.{key} is ") };
        (of_spec(spec), message)
    });
    for (values, expected) in keys.into_iter().chain(VALUES.map(|(v, m)| (v.to_owned(), m.to_owned()))) {
        context.shell.write_file(&file, &values)?;
        let path = file.to_string_lossy();
        let arguments = ["-f", &path, "--show-only", "templates/configuration-series.yaml"];
        if expected.is_empty() {
            Rendered::chart(context, helm, &subject.archive, "gorax-monitoring", &arguments)
                .map_err(|error| anyhow!("{values}: {error:#}"))?;
        } else {
            let message = Rendered::chart_refused(context, helm, &subject.archive, &arguments)
                .map_err(|_| anyhow!("{values}: expected to be refused"))?;
            ensure!(message.contains(&expected), "{values}\nexpected {expected:?} in {message}");
            ensure!(message.contains("kube-prometheus-stack."), "{values}: no key is named in {message}");
        }
    }
    Ok(())
}

fn check(context: &Context) -> Result<()> {
    let look_back = look_back::of(&context.model);
    for (spec, expected) in STORAGE {
        let values = rulecheck::yaml::parse(&of_spec(spec)).map_err(|error| anyhow!(error.message))?;
        let owner = "kube-prometheus-stack".to_owned();
        let profile = Fragment { path: "x.yaml".to_owned(), owner, text: String::new(), values };
        let problems = retention::problems(&context.model.values.with(&[profile]), &look_back);
        let keys: Vec<String> = problems.iter().map(|problem| problem.key.join(".")).collect();
        let expected: Vec<&str> = Some(expected).filter(|key| !key.is_empty()).into_iter().collect();
        ensure!(keys == expected, "{spec}: {keys:?}");
    }
    Ok(())
}
