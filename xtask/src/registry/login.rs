//! Who asks a registry, in Helm's order: the flags or the environment, Helm's store, Docker's configuration with its
//! credential helpers, else nobody.

use std::ffi::OsString;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use docker_credential::{CredentialRetrievalError, DockerCredential};

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

impl Login {
    /// Looks for the login of a host.
    pub fn find(host: &str, flags: &flags::Registry) -> Result<Login> {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        if let Some(login) = given(flags, &variable)? {
            return Ok(login);
        }
        for path in files(&variable, std::env::home_dir().as_deref()) {
            if let Some(credential) = stored(&path, host)? {
                return Ok(Login { credential, source: path.display().to_string() });
            }
        }
        Ok(Login { credential: Credential::Anonymous, source: "nowhere".to_owned() })
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
    let password = flags.password.clone().unwrap_or_else(|| Secret::new(text(PASSWORD).unwrap_or_default()));
    if password.expose().is_empty() {
        bail!(Usage(format!(
            "{username} has no password; write it into stdin with --password-stdin, or set {PASSWORD}"
        )));
    }
    let credential = Credential::Password { username, password };
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

/// The login of a host in a file, or from the helper that the file names. What a helper printed is not repeated: it may
/// hold the secret.
fn stored(path: &Path, host: &str) -> Result<Option<Credential>> {
    let Ok(file) = File::open(path) else { return Ok(None) };
    let server = match host {
        // Under its first address every tool keeps Docker Hub's login to this day.
        "docker.io" | "registry-1.docker.io" => "https://index.docker.io/v1/",
        host => host,
    };
    match docker_credential::get_credential_from_reader(BufReader::new(file), server) {
        Ok(DockerCredential::UsernamePassword(username, password)) if username == "<token>" => {
            Ok(Some(Credential::IdentityToken(Secret::new(password))))
        }
        Ok(DockerCredential::UsernamePassword(username, password)) => {
            Ok(Some(Credential::Password { username, password: Secret::new(password) }))
        }
        Ok(DockerCredential::IdentityToken(token)) => Ok(Some(Credential::IdentityToken(Secret::new(token)))),
        Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(None),
        Err(CredentialRetrievalError::HelperFailure { stdout, .. }) if stdout.contains("credentials not found") => {
            Ok(None)
        }
        Err(error) => {
            let why = match error {
                CredentialRetrievalError::HelperFailure { helper, .. } => format!("`{helper} get` failed"),
                CredentialRetrievalError::HelperCommunicationError => {
                    "its credential helper, a program docker-credential-<name>, cannot be run".to_owned()
                }
                CredentialRetrievalError::MalformedHelperResponse => {
                    "its credential helper does not answer as the protocol wants".to_owned()
                }
                CredentialRetrievalError::ConfigReadError => "it is not the JSON of such a file".to_owned(),
                _ => "its entry cannot be read".to_owned(),
            };
            bail!(
                "looking for the login of {host} in {}: {why}; mend it, or give --username and --password-stdin",
                path.display()
            )
        }
    }
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
            PASSWORD => Some("pw".into()),
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
