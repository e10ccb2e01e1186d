//! Docker's credential helpers: programs that keep logins in the machine's own store.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::{Credential, PASSWORD, Secret};

/// A person may have to unlock a store for it.
const WITHIN: Duration = Duration::from_secs(30);

/// How a helper says that it knows no login.
const NOT_FOUND: &str = "credentials not found in native keychain";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

/// Asks `docker-credential-<name>` for the login of a server. What it prints is not repeated: it may hold the secret.
pub fn ask(name: &str, server: &str) -> Result<Option<Credential>> {
    let program = format!("docker-credential-{name}");
    let mut command = Command::new(&program);
    command.arg("get").env_remove(PASSWORD).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().with_context(|| format!("its credential helper `{program}` cannot be run"))?;
    // Some answer without reading, and then nobody is there to be written to.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(server.as_bytes()));
    let Some((status, printed)) = wait(&mut child, WITHIN) else {
        let _ = child.kill();
        let _ = child.wait();
        bail!("its credential helper: `{program} get` has not answered within {} s", WITHIN.as_secs());
    };
    if !status.success() {
        if printed.contains(NOT_FOUND) {
            return Ok(None);
        }
        bail!("its credential helper: `{program} get` failed");
    }
    let answer: Option<Answer> = serde_json::from_str(&printed).ok();
    let answer =
        answer.with_context(|| format!("its credential helper `{program}` does not answer as the protocol wants"))?;
    Ok(match answer {
        Answer { secret, .. } if secret.is_empty() => None,
        Answer { username, secret } if username == "<token>" => Some(Credential::IdentityToken(Secret::new(secret))),
        Answer { username, secret } => Some(Credential::Password { username, password: Secret::new(secret) }),
    })
}

/// How a program ended and what it printed, if it did so in time.
fn wait(child: &mut Child, within: Duration) -> Option<(ExitStatus, String)> {
    let started = Instant::now();
    let mut stdout = child.stdout.take()?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stdout.read_to_end(&mut bytes);
        sender.send(String::from_utf8_lossy(&bytes).into_owned())
    });
    let printed = receiver.recv_timeout(within).ok()?;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some((status, printed)),
            Ok(None) if started.elapsed() < within => std::thread::sleep(Duration::from_millis(5)),
            _ => return None,
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_for_a_program_for_ever() {
        for (script, expected) in
            [("echo x", Some("x\n")), ("exec sleep 100", None), ("exec >&-; exec sleep 100", None)]
        {
            let mut child = Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
            let printed = wait(&mut child, Duration::from_millis(300)).map(|(_, printed)| printed);
            let _ = child.kill();
            child.wait().unwrap();
            assert_eq!(printed.as_deref(), expected, "{script}");
        }
    }
}
