//! Who asks a registry, in Helm's order: the flags or the environment, Helm's store, Docker's configuration with its
//! credential helpers, else nobody.

mod helper;
mod stored;

use std::cell::OnceCell;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};

use super::Secret;
use crate::failure::Usage;
use crate::flags;

/// The variables for machines that cannot write into stdin.
const USERNAME: &str = "GORAX_MONITORING_REGISTRY_USERNAME";
const PASSWORD: &str = "GORAX_MONITORING_REGISTRY_PASSWORD";

/// What proves who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    Anonymous,
    Password {
        username: String,
        password: Secret,
    },
    /// A token that buys others.
    IdentityToken(Secret),
}

/// Who asks, and where that was found, for messages.
#[derive(Debug, Clone)]
pub struct Login {
    pub credential: Credential,
    pub source: String,
}

/// The login of one host. It is looked for when a registry first asks for one: what is public needs none, and a helper that
/// is broken or asks a person is nobody's concern then.
#[derive(Debug)]
pub struct Finder {
    host: String,
    found: OnceCell<Login>,
}

impl Finder {
    /// The login that the flags or the environment give is taken at once, so that half of one is refused at once.
    pub fn new(host: &str, flags: &flags::Registry) -> Result<Finder> {
        let given = given(flags, &variable)?;
        Ok(Finder { host: host.to_owned(), found: given.map(OnceCell::from).unwrap_or_default() })
    }

    /// The login, or that there is none.
    pub fn find(&self) -> Result<&Login> {
        if let Some(login) = self.found.get() {
            return Ok(login);
        }
        let login = Login::stored(&self.host)?;
        Ok(self.found.get_or_init(|| login))
    }

    /// The login as far as it was asked for.
    pub fn found(&self) -> Option<&Login> {
        self.found.get()
    }

    /// Gives up looking.
    pub fn nobody(&self) -> &Login {
        self.found.get_or_init(Login::nobody)
    }
}

impl Login {
    fn nobody() -> Login {
        Login { credential: Credential::Anonymous, source: "nowhere".to_owned() }
    }

    fn stored(host: &str) -> Result<Login> {
        for path in files(&variable, std::env::home_dir().as_deref()) {
            let credential = stored::read(&path, host).map_err(|error| {
                let file = path.display();
                let next = "mend it, or give --username and --password-stdin";
                anyhow!("looking for the login of {host} in {file}: {error:#}; {next}")
            })?;
            if let Some(credential) = credential {
                return Ok(Login { credential, source: path.display().to_string() });
            }
        }
        Ok(Login::nobody())
    }

    /// A text from a server, which may repeat what it was sent, without this login's secret.
    pub fn removed_from(&self, text: &str) -> String {
        match &self.credential {
            Credential::Anonymous => text.to_owned(),
            Credential::Password { username, password } => {
                password.removed_from(&Secret::basic(username, password).removed_from(text))
            }
            Credential::IdentityToken(token) => token.removed_from(text),
        }
    }
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// A password as it was read from stdin or a variable, whose writers end lines.
pub fn password(text: &str) -> Secret {
    Secret::new(text.trim_end_matches(['\r', '\n']))
}

/// From the flags, else from the environment.
fn given(flags: &flags::Registry, variable: &impl Fn(&str) -> Option<OsString>) -> Result<Option<Login>> {
    let text = |name: &str| variable(name).map(|value| value.to_string_lossy().into_owned());
    let (username, source) = match (&flags.username, text(USERNAME)) {
        (Some(username), _) => (username.clone(), "--username"),
        (None, Some(username)) => (username, USERNAME),
        (None, None) if flags.password.is_some() || text(PASSWORD).is_some() => {
            bail!(Usage(format!("there is a password and no user; give --username or {USERNAME}")))
        }
        (None, None) => return Ok(None),
    };
    let secret = flags.password.clone().unwrap_or_else(|| password(&text(PASSWORD).unwrap_or_default()));
    if secret.expose().is_empty() {
        bail!(Usage(format!(
            "{username} has no password; write it into stdin with --password-stdin, or set {PASSWORD}"
        )));
    }
    let credential = Credential::Password { username, password: secret };
    Ok(Some(Login { credential, source: source.to_owned() }))
}

/// Helm's store, then Docker's configuration.
fn files(variable: &impl Fn(&str) -> Option<OsString>, home: Option<&Path>) -> Vec<PathBuf> {
    let path = |name: &str| variable(name).map(PathBuf::from);
    let below_home = |folder: &str| home.map(|home| home.join(folder));
    let configuration = match std::env::consts::OS {
        "macos" => below_home("Library/Preferences"),
        "windows" => path("APPDATA"),
        _ => below_home(".config"),
    };
    let helm = path("HELM_CONFIG_HOME")
        .or_else(|| path("XDG_CONFIG_HOME").or(configuration).map(|folder| folder.join("helm")))
        .map(|folder| folder.join("registry/config.json"));
    let docker = path("DOCKER_CONFIG").or_else(|| below_home(".docker")).map(|folder| folder.join("config.json"));
    path("HELM_REGISTRY_CONFIG").or(helm).into_iter().chain(docker).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(username: Option<&str>) -> flags::Registry {
        flags::Registry { username: username.map(str::to_owned), ..flags::Registry::default() }
    }

    #[test]
    fn flags_go_before_the_environment_and_a_half_login_is_refused() {
        let both = |name: &str| match name {
            USERNAME => Some("ada".into()),
            PASSWORD => Some("pw\r\n".into()),
            _ => None,
        };
        let user = |login: Option<Login>| match login.unwrap().credential {
            Credential::Password { username, password } => (username, password.expose().to_owned()),
            other => panic!("{other:?}"),
        };
        assert_eq!(user(given(&flags(None), &both).unwrap()), ("ada".to_owned(), "pw".to_owned()));
        assert_eq!(user(given(&flags(Some("bo")), &both).unwrap()), ("bo".to_owned(), "pw".to_owned()));
        assert!(given(&flags(None), &|_| None).unwrap().is_none());
        let half = |name: &str| both(name).filter(|_| name == PASSWORD);
        assert!(given(&flags(None), &half).unwrap_err().to_string().contains("no user"));
        assert!(given(&flags(Some("bo")), &|_| None).unwrap_err().to_string().contains("bo has no password"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn files_are_where_helm_and_docker_keep_them() {
        let listed = |set: &[(&str, &str)]| {
            let variable = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
            let paths = files(&variable, Some(Path::new("/home/ada")));
            paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ")
        };
        for (set, expected) in [
            (&[][..], "/home/ada/.config/helm/registry/config.json /home/ada/.docker/config.json"),
            (&[("XDG_CONFIG_HOME", "/x")], "/x/helm/registry/config.json /home/ada/.docker/config.json"),
            (
                &[("XDG_CONFIG_HOME", "/x"), ("HELM_CONFIG_HOME", "/h"), ("DOCKER_CONFIG", "/d")],
                "/h/registry/config.json /d/config.json",
            ),
            (
                &[("HELM_CONFIG_HOME", "/h"), ("HELM_REGISTRY_CONFIG", "/r.json")],
                "/r.json /home/ada/.docker/config.json",
            ),
        ] {
            assert_eq!(listed(set), expected);
        }
    }
}
