//! A real Prometheus with our rules, for as long as a case asks it.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::target::{self, Scrapes};

/// A Prometheus is ready in a second, more under load.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// Stopped when it goes out of scope.
pub(super) struct Server {
    child: Child,
    url: String,
    agent: ureq::Agent,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts it in `folder` with the texts of scrapes, a target each, by job; the labels of all targets; and groups of
    /// rules. It scrapes and evaluates every second.
    pub(super) fn start(
        program: &Path,
        folder: &Path,
        scrapes: &Scrapes,
        labels: &BTreeMap<&str, &str>,
        groups: &[serde_yaml::Value],
    ) -> Result<Server> {
        std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        let target = target::serve(scrapes.clone())?.to_string();
        // Free a moment ago; were it taken since, Prometheus would end and say so.
        let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr())?.to_string();
        let at = |address: &str, path: &str| {
            let mut labels = labels.clone();
            labels.extend([("__metrics_path__", path), ("instance", path)]);
            json!({"targets": [address], "labels": labels})
        };
        let mut jobs = vec![json!({"job_name": "prometheus", "static_configs": [at(&address, "/metrics")]})];
        for (job, texts) in scrapes {
            let targets: Vec<Value> = (0..texts.len()).map(|n| at(&target, &target::path(job, n))).collect();
            jobs.push(json!({"job_name": job, "honor_labels": true, "static_configs": targets}));
        }
        let config = json!({"global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [target]}]}]},
            "rule_files": ["rules.yaml"], "scrape_configs": jobs});
        let write = |name: &str, text: String| {
            std::fs::write(folder.join(name), text).with_context(|| format!("writing {name} of a Prometheus"))
        };
        write("prometheus.yaml", config.to_string())?;
        write("rules.yaml", serde_yaml::to_string(&BTreeMap::from([("groups", groups)]))?)?;
        let log = std::fs::File::create(folder.join("log")).context("creating the log of a Prometheus")?;
        let child = Command::new(program)
            .args([
                "--config.file=prometheus.yaml",
                "--storage.tsdb.path=data",
                "--storage.tsdb.retention.time=16d",
                "--storage.tsdb.retention.size=1GB",
                "--log.level=warn",
            ])
            .arg(format!("--web.listen-address={address}"))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("starting prometheus")?;
        // A proxy of this machine knows nothing of it.
        let agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into();
        let mut server = Server { child, url: format!("http://{address}"), agent };
        server.wait(folder)?;
        Ok(server)
    }

    fn wait(&mut self, folder: &Path) -> Result<()> {
        let until = Instant::now() + READY_WITHIN;
        loop {
            let ended = self.child.try_wait().context("waiting for prometheus")?;
            if self.agent.get(format!("{}/-/ready", self.url)).call().is_ok_and(|answer| answer.status() == 200) {
                return Ok(());
            }
            if ended.is_some() || Instant::now() > until {
                bail!("prometheus is not ready:\n{}", std::fs::read_to_string(folder.join("log")).unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The `data` of an answer of the HTTP API; what Prometheus refuses is an error with its words.
    pub(super) fn ask(&self, path: &str, parameters: &[(&str, String)]) -> Result<Value> {
        let request = self.agent.get(format!("{}/api/v1/{path}", self.url));
        let request = parameters.iter().fold(request, |request, (name, value)| request.query(*name, value));
        let mut response = request.call().with_context(|| format!("asking Prometheus for {path}"))?;
        let text = response.body_mut().read_to_string().context("reading Prometheus' answer")?;
        let answer: Value =
            serde_json::from_str(&text).with_context(|| format!("reading Prometheus' answer {text}"))?;
        ensure!(answer["status"] == "success", "Prometheus refuses {parameters:?}: {}", answer["error"]);
        Ok(answer["data"].clone())
    }
}
