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
    /// before it in its header, neither as it is nor as a form or a query carries it.
    pub fn removed_from(&self, text: &str) -> String {
        let bare = self.0.rsplit(' ').next().unwrap_or_default();
        [self.0.as_str(), bare]
            .iter()
            .filter(|secret| !secret.is_empty())
            .fold(text.to_owned(), |text, secret| without_encoded(secret, &text.replace(secret, "***")))
    }
}

/// A text without a secret of which some bytes, or all, are percent-encoded there.
fn without_encoded(secret: &str, text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = secret.bytes().try_fold(rest.as_bytes(), |text, byte| after(byte, text));
        rest = match after.and_then(|after| rest.get(rest.len() - after.len()..)) {
            Some(after) => {
                kept.push_str("***");
                after
            }
            None => {
                kept.push(c);
                &rest[c.len_utf8()..]
            }
        };
    }
    kept
}

/// What follows a byte at the start of a text, in any of the forms that it may have there.
fn after(byte: u8, text: &[u8]) -> Option<&[u8]> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    match text {
        [b'%', high, low, rest @ ..]
            if Some(u32::from(byte)) == digit(*high).zip(digit(*low)).map(|(h, l)| h * 16 + l) =>
        {
            Some(rest)
        }
        [b'+', rest @ ..] if byte == b' ' => Some(rest),
        [first, rest @ ..] if *first == byte => Some(rest),
        _ => None,
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

    #[test]
    fn a_secret_is_removed_in_every_form_that_a_server_may_repeat() {
        let secret = Secret::new("a+ä/=% b");
        for form in ["a+ä/=% b", "a%2B%C3%A4%2F%3D%25%20b", "a%2b%c3%a4/%3d%25+b", "%61+ä%2F=%25%20b"] {
            assert_eq!(secret.removed_from(&format!("ä {form}%")), "ä ***%", "{form}");
        }
        assert_eq!(secret.removed_from("a%2 %é a+ä"), "a%2 %é a+ä");
    }
}
