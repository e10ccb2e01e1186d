//! What every pod of ours must be, whatever it runs.

use anyhow::{Context as _, Result, ensure};
use serde_yaml::Value;

/// Whether a pod's spec passes the pod security level `restricted`, with a read-only root and no token besides, and
/// every container has requests and limits.
pub(super) fn restricted(pod: &Value) -> Result<()> {
    ensure!(pod["automountServiceAccountToken"] == false, "it gets a token");
    let security = &pod["securityContext"];
    ensure!(
        security["runAsNonRoot"] == true && security["runAsUser"].as_u64().is_some_and(|id| id > 0),
        "it may be root"
    );
    ensure!(security["seccompProfile"]["type"] == "RuntimeDefault", "no seccomp profile");
    for key in ["hostNetwork", "hostPID", "hostIPC"] {
        ensure!(pod.get(key).is_none(), "{key}");
    }
    for volume in pod["volumes"].as_sequence().into_iter().flatten() {
        ensure!(volume.get("hostPath").is_none(), "a volume of the host");
    }
    for container in pod["containers"].as_sequence().context("no containers")? {
        let security = &container["securityContext"];
        ensure!(security["allowPrivilegeEscalation"] == false, "it may escalate");
        ensure!(security["readOnlyRootFilesystem"] == true, "its root can be written");
        ensure!(security["capabilities"]["drop"] == Value::from(vec!["ALL"]), "it has capabilities");
        ensure!(security["capabilities"].get("add").is_none() && security.get("privileged").is_none(), "it adds some");
        for (kind, resource) in [("requests", "cpu"), ("requests", "memory"), ("limits", "cpu"), ("limits", "memory")] {
            ensure!(!container["resources"][kind][resource].is_null(), "no {kind}.{resource}");
        }
        for port in container["ports"].as_sequence().into_iter().flatten() {
            ensure!(port.get("hostPort").is_none(), "a port of the host");
        }
    }
    Ok(())
}
