//! What selects pods besides monitors: Gorax's Services, budgets and NetworkPolicies, and whom the latter let in.

use anyhow::{Context as _, Result, ensure};
use serde_yaml::Value;

use super::relabel::Labels;
use super::rendered::{Rendered, text_at};
use super::targets::{self, Pod};
use super::{Case, Context, pitfalls};
use crate::tools::Tool;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Case::for_both(&[
        ("network: the chart's own objects shut nobody out", nobody_shut_out),
        ("network: nothing of ours is taken for Gorax, and its budgets cover one deployment each", nothing_of_ours),
    ]);
    let name = "network: the policy of Gorax's documents shuts Prometheus out, and that of docs/wiring.md lets it in";
    cases.push(Case::new(name, &[], let_in));
    cases
}

fn nobody_shut_out(context: &Context, helm: Tool) -> Result<()> {
    let rendered = Rendered::template(context, helm, &[])?;
    // Those that can be switched on are proved in policies.rs.
    ensure!(rendered.of_kind("NetworkPolicy").is_empty(), "there is a NetworkPolicy that nobody asked for");
    Ok(())
}

fn let_in(context: &Context) -> Result<()> {
    let page = std::fs::read_to_string(context.root.join(pitfalls::PAGE)).context("reading the page")?;
    let text = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).context("no policy in it")?;
    let remedy: Value = serde_yaml::from_str(text).context("reading the page's policy")?;
    let mut shut_out = 0;
    for deployed in targets::model()?.iter().filter(|deployed| !deployed.policies.is_empty()) {
        let mut policies = deployed.policies.clone();
        let admitted = |policies: &[Value], from: &str, port| -> Result<bool> {
            let apis = deployed.pods.iter().filter(|pod| pod.metrics);
            apis.map(|pod| admits(policies, pod, from, port)).try_fold(true, |all, one| Ok(all && one?))
        };
        ensure!(!admitted(&policies, "monitoring", 8080)?, "{}: there is nothing to mend", deployed.name);
        shut_out += 1;
        ensure!(
            remedy["metadata"]["namespace"].as_str() == Some(&deployed.namespace),
            "the page's policy is elsewhere"
        );
        policies.push(remedy["spec"].clone());
        ensure!(admitted(&policies, "monitoring", 8080)?, "{}: Prometheus is still shut out", deployed.name);
        ensure!(!admitted(&policies, "shop", 8080)? && !admitted(&policies, "monitoring", 22)?, "it lets too much in");
    }
    ensure!(shut_out > 0, "no policy of Gorax's is known");
    Ok(())
}

/// Our pods may run in Gorax's namespace: its Services, budgets and policies must not select them.
fn nothing_of_ours(context: &Context, helm: Tool) -> Result<()> {
    let values = "
tests: {prometheusUrl: 'http://prometheus'}
sources:
  postgres: {a: {environment: gorax-prod, deploy: {secret: {name: s, key: k}}}}
  redis: {a: {environment: gorax-prod, deploy: {address: 'redis://r:6379'}}}
  blackbox: {a: {environment: gorax-prod, deploy: {}, urls: ['http://gorax-api.gorax-prod/ready']}}
";
    let rendered = Rendered::values(context, helm, values)?;
    let metadata = rendered.objects.iter().filter_map(|object| match text_at(object, "kind") {
        "Pod" => Some(&object["metadata"]),
        "Deployment" => Some(&object["spec"]["template"]["metadata"]),
        _ => None,
    });
    let pods: Vec<Labels> =
        metadata.map(|m| Ok(serde_yaml::from_value(m["labels"].clone())?)).collect::<Result<_>>()?;
    ensure!(pods.len() == 4, "{} pods are looked at", pods.len());
    for deployed in targets::model()? {
        for labels in deployed.services.iter().map(|service| &service.selector).chain(&deployed.budgets) {
            let covers = |pod: &Labels| labels.iter().all(|(key, value)| pod.get(key) == Some(value));
            ensure!(!pods.iter().any(covers), "{}: {labels:?} selects a pod of ours", deployed.name);
        }
        for policy in &deployed.policies {
            for pod in &pods {
                ensure!(
                    !targets::selects(&policy["podSelector"], pod)?,
                    "{}: a policy selects a pod of ours",
                    deployed.name
                );
            }
        }
        for budget in &deployed.budgets {
            let covers = |pod: &&Pod| budget.iter().all(|(key, value)| pod.labels.get(key) == Some(value));
            let covered = deployed.pods.iter().filter(covers).count();
            ensure!(covered == 1, "{}: {budget:?} covers {covered} deployments", deployed.name);
        }
    }
    Ok(())
}

/// Whether traffic from a namespace reaches a port of a pod. A namespace carries its name as a label of Kubernetes' own.
fn admits(policies: &[Value], pod: &Pod, from: &str, port: u64) -> Result<bool> {
    let namespace = Labels::from([("kubernetes.io/metadata.name".to_owned(), from.to_owned())]);
    let mut selected = false;
    for policy in policies {
        if !targets::selects(&policy["podSelector"], &pod.labels)? {
            continue;
        }
        selected = true;
        for rule in policy["ingress"].as_sequence().into_iter().flatten() {
            let ports = rule["ports"].as_sequence().context("a rule without ports")?;
            for peer in rule["from"].as_sequence().context("a rule without peers")? {
                let from = targets::selects(&peer["namespaceSelector"], &namespace)?;
                if from && ports.iter().any(|open| open["port"].as_u64() == Some(port)) {
                    return Ok(true);
                }
            }
        }
    }
    Ok(!selected)
}
