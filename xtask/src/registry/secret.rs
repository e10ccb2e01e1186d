//! A password or a token: it cannot be printed by accident.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Text that only [`Secret::expose`] gives away, to the one header or form that needs it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The Authorization header of a user with a password.
    pub fn basic(username: &str, password: &Secret) -> Secret {
        Secret(format!("Basic {}", STANDARD.encode(format!("{username}:{}", password.0))))
    }

    /// The Authorization header of a token.
    pub fn bearer(token: &str) -> Secret {
        Secret(format!("Bearer {token}"))
    }

    /// What a server wrote, which may repeat what it was sent, without this secret: neither whole nor without the word
    /// before it in its header.
    pub fn removed_from(&self, text: &str) -> String {
        let bare = self.0.rsplit(' ').next().unwrap_or_default();
        [self.0.as_str(), bare]
            .iter()
            .filter(|secret| !secret.is_empty())
            .fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_nowhere() {
        let secret = Secret::basic("ada", &Secret::new("pass word"));
        assert_eq!(secret.expose(), "Basic YWRhOnBhc3Mgd29yZA==");
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "*** Some(***)");
        assert_eq!(secret.removed_from("no: Basic YWRhOnBhc3Mgd29yZA==, YWRhOnBhc3Mgd29yZA=="), "no: ***, ***");
        assert_eq!(Secret::new("pass word").removed_from("a pass word"), "a ***");
    }
}
