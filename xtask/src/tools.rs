//! Helm 3 and 4, Prometheus, promtool, amtool, an OCI registry and actionlint: found on PATH in the pinned version, or built from
//! tools/go.mod; and gpg, which the system has.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use helmpack::checksum::sha256;
use xshell::{Shell, cmd};

/// A tool that tests run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tool {
    /// What messages and target/tools call it.
    pub name: &'static str,
    /// Its name on PATH.
    program: &'static str,
    /// The Go package, a tool of tools/go.mod; none for a program of the system's own.
    package: Option<&'static str>,
    /// How it is asked for its version.
    version_flag: &'static str,
    /// The pinned major version and the least minor one.
    version: (u64, u64),
    /// Where its module has to be told its own version, as it has none when built from the module cache.
    ldflags: &'static str,
}

pub const HELM4: Tool = Tool {
    name: "helm4",
    program: "helm",
    package: Some("helm.sh/helm/v4/cmd/helm"),
    version_flag: "version",
    version: (4, 3),
    ldflags: "-X helm.sh/helm/v4/internal/version.version=v4.3.1",
};
pub const HELM3: Tool = Tool {
    name: "helm3",
    program: "helm",
    package: Some("helm.sh/helm/v3/cmd/helm"),
    version_flag: "version",
    version: (3, 22),
    ldflags: "-X helm.sh/helm/v3/internal/version.version=v3.22.0",
};
pub const PROMTOOL: Tool = Tool {
    name: "promtool",
    program: "promtool",
    package: Some("github.com/prometheus/prometheus/cmd/promtool"),
    version_flag: "--version",
    version: (3, 14),
    ldflags: "-X github.com/prometheus/common/version.Version=3.14.0",
};
pub const AMTOOL: Tool = Tool {
    name: "amtool",
    program: "amtool",
    package: Some("github.com/prometheus/alertmanager/cmd/amtool"),
    version_flag: "--version",
    version: (0, 34),
    ldflags: "-X github.com/prometheus/common/version.Version=0.34.2",
};
/// Dashboards' queries are asked of it.
pub const PROMETHEUS: Tool = Tool {
    name: "prometheus",
    program: "prometheus",
    package: Some("github.com/prometheus/prometheus/cmd/prometheus"),
    version_flag: "--version",
    version: (3, 14),
    ldflags: "-X github.com/prometheus/common/version.Version=3.14.0",
};
/// The reference registry of the OCI distribution specification.
pub const REGISTRY: Tool = Tool {
    name: "registry",
    program: "registry",
    package: Some("github.com/distribution/distribution/v3/cmd/registry"),
    version_flag: "--version",
    version: (3, 1),
    ldflags: "",
};
/// Checks the workflows of .github/.
pub const ACTIONLINT: Tool = Tool {
    name: "actionlint",
    program: "actionlint",
    package: Some("github.com/rhysd/actionlint/cmd/actionlint"),
    version_flag: "-version",
    version: (1, 7),
    ldflags: "",
};
/// Signs what `helm verify` then checks.
pub const GPG: Tool =
    Tool { name: "gpg", program: "gpg", package: None, version_flag: "--version", version: (2, 2), ldflags: "" };
/// Those that `cargo xtask test` runs.
pub const ALL: [Tool; 8] = [HELM3, HELM4, PROMTOOL, AMTOOL, PROMETHEUS, REGISTRY, ACTIONLINT, GPG];

/// Where a tool is, or why it cannot be had.
pub type Found = Result<PathBuf, String>;

impl Tool {
    /// Finds the tool: built from this go.mod before, or on PATH in the pinned version, or built now. The error is the
    /// reason for a skip.
    pub fn find(&self, root: &Path, offline: bool) -> Found {
        if let Some(path) = self.built(root) {
            return Ok(path);
        }
        let seen = match self.on_path() {
            Ok(path) => return Ok(path),
            Err(seen) => seen,
        };
        self.build(root, offline)
            .map_err(|reason| format!("{}{reason}", seen.map(|s| format!("{s}; ")).unwrap_or_default()))
    }

    /// The binary of an earlier build, if tools/go.mod and go.sum have not changed since.
    fn built(&self, root: &Path) -> Option<PathBuf> {
        let path = root.join("target/tools").join(self.name);
        let stamp = std::fs::read_to_string(self.stamp_path(root)).ok()?;
        (path.is_file() && stamp == self.stamp(root).ok()?).then_some(path)
    }

    /// The program on PATH, or what version of it was seen there instead.
    fn on_path(&self) -> Result<PathBuf, Option<String>> {
        let shell = Shell::new().map_err(|_| None)?;
        let (program, flag) = (self.program, self.version_flag);
        let output =
            cmd!(shell, "{program} {flag}").quiet().ignore_status().ignore_stderr().read().map_err(|_| None)?;
        match version_in(&output) {
            Some((major, minor)) if major == self.version.0 && minor >= self.version.1 => Ok(PathBuf::from(program)),
            Some((major, minor)) => Err(Some(format!("{program} on PATH is {major}.{minor}"))),
            None => Err(Some(format!("{program} on PATH does not tell its version"))),
        }
    }

    fn build(&self, root: &Path, offline: bool) -> Found {
        let package = self.package.ok_or("it is not installed; the system's packages have it")?;
        let shell = Shell::new().map_err(|error| error.to_string())?;
        if cmd!(shell, "go version").quiet().ignore_stderr().read().is_err() {
            return Err("Go is not installed, which builds it".to_owned());
        }
        let (ldflags, folder) = (self.ldflags, root.join("tools"));
        let output = root.join("target/tools").join(self.name);
        note!("building {} from tools/go.mod (once; minutes when nothing is cached)", self.name);
        let mut build = cmd!(shell, "go build -C {folder} -ldflags {ldflags} -o {output} {package}").quiet();
        if offline {
            build = build.env("GOPROXY", "off").env("GOTOOLCHAIN", "local");
        }
        let result = with_clock(self.name, || build.ignore_status().output()).map_err(|error| error.to_string())?;
        if !result.status.success() {
            let text = String::from_utf8_lossy(&result.stderr);
            let last = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it printed nothing").trim();
            return Err(format!("go build failed{}: {last}", if offline { " offline" } else { "" }));
        }
        let stamp = self.stamp(root).map_err(|error| format!("{error:#}"))?;
        std::fs::write(self.stamp_path(root), stamp).map_err(|error| error.to_string())?;
        Ok(output)
    }

    fn stamp_path(&self, root: &Path) -> PathBuf {
        root.join("target/tools").join(format!("{}.stamp", self.name))
    }

    fn stamp(&self, root: &Path) -> Result<String> {
        let read =
            |name: &str| std::fs::read(root.join("tools").join(name)).with_context(|| format!("reading tools/{name}"));
        Ok(sha256(&[read("go.mod")?, read("go.sum")?, self.ldflags.into()].concat()))
    }
}

/// Runs something that takes minutes; where a person looks on, the seconds count up meanwhile.
fn with_clock<T>(name: &str, work: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let done = AtomicBool::new(false);
    let result = std::thread::scope(|scope| {
        if std::io::stderr().is_terminal() {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    eprint!("\r{name}: {} s ", started.elapsed().as_secs());
                    std::thread::sleep(Duration::from_millis(200));
                }
                eprint!("\r");
            });
        }
        let result = work();
        done.store(true, Ordering::Relaxed);
        result
    });
    note!("{name}: {} s", started.elapsed().as_secs());
    result
}

/// The first `major.minor` on the first line of what a program prints of its version; below it stands Go's.
fn version_in(text: &str) -> Option<(u64, u64)> {
    text.lines().next()?.split(|c: char| !c.is_ascii_digit() && c != '.').find_map(|word| {
        let (major, rest) = word.split_once('.')?;
        let minor = rest.split('.').next()?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    })
}

/// What this machine lacks and what that skips, a line each.
pub fn missing(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let tools = ALL.iter().filter(|tool| tool.built(root).is_none() && tool.on_path().is_err());
    let (tools, own): (Vec<&Tool>, Vec<&Tool>) = tools.partition(|tool| tool.package.is_some());
    let tools: Vec<&str> = tools.into_iter().map(|tool| tool.name).collect();
    lines.extend(own.into_iter().map(|tool| format!("{}: `cargo xtask test` skips what needs it", tool.name)));
    if !tools.is_empty() {
        let go = Shell::new().is_ok_and(|shell| cmd!(shell, "go version").quiet().ignore_stderr().read().is_ok());
        let names = tools.join(", ");
        lines.push(match go {
            true => format!("{names}: `cargo xtask test` builds what is missing from tools/go.mod"),
            false => format!("Go, and {names}: `cargo xtask test` skips what needs them"),
        });
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_the_tools_print_them() {
        for (text, version) in [
            ("version.BuildInfo{Version:\"v4.3.1\", GitCommit:\"\", GoVersion:\"go1.26.8\"}", Some((4, 3))),
            ("promtool, version 3.14.0 (branch: , revision: unknown)", Some((3, 14))),
            ("amtool, version 0.34.2 (branch: , revision: unknown)", Some((0, 34))),
            ("promtool, version  (branch: , revision: unknown)\n  go version: go1.26", None),
            ("registry github.com/distribution/distribution/v3 v3.1.2+unknown", Some((3, 1))),
            ("v1.7.7", Some((1, 7))),
            ("gpg (GnuPG) 2.2.40\nlibgcrypt 1.10.1", Some((2, 2))),
            ("helm", None),
        ] {
            assert_eq!(version_in(text), version, "{text}");
        }
    }
}
