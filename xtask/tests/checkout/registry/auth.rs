//! Who may do what in the registry, and how it says so.

use super::{Answer, Request, State};

/// Who may do what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    #[default]
    Nobody,
    /// `user:password` in base64.
    Basic(&'static str),
    /// A token for who shows this Authorization header; good for so many requests.
    Bearer { login: &'static str, uses: usize },
    /// A token for who shows this identity token.
    Identity { token: &'static str },
    /// A token for everybody.
    Anyone,
    /// Everybody may read and nobody write.
    ReadOnly,
    /// A kind of login that is not known to anybody.
    Unknown,
    /// As `Basic`, with a challenge for a token before it that does not say where tokens are.
    Either(&'static str),
}

impl State {
    /// What a request without the right login gets. The header that it came with is repeated, as careless servers do.
    pub(super) fn refusal(&mut self, request: &Request, host: &str) -> Option<Answer> {
        let said = format!("not \u{202e}good: {}", request.authorization);
        let refused =
            |challenge: String| Some(Answer::error(401, "UNAUTHORIZED", &said).with("www-authenticate", challenge));
        match self.auth.clone() {
            Auth::Nobody => None,
            Auth::ReadOnly if matches!(request.method.as_str(), "GET" | "HEAD") => None,
            Auth::ReadOnly => Some(Answer::error(403, "DENIED", &said)),
            Auth::Unknown => refused("Negotiate".to_owned()),
            Auth::Basic(login) | Auth::Either(login) if request.authorization == format!("Basic {login}") => None,
            Auth::Either(_) => refused("Bearer, Basic realm=\"x\"".to_owned()),
            Auth::Basic(_) => refused("Basic realm=\"a, b\"".to_owned()),
            Auth::Bearer { .. } | Auth::Identity { .. } | Auth::Anyone => {
                let uses = if let Auth::Bearer { uses, .. } = self.auth { uses } else { usize::MAX };
                if request.authorization == format!("Bearer token-{}", self.tokens) && self.used < uses {
                    self.used += 1;
                    return None;
                }
                let repository =
                    request.path.trim_start_matches("/v2/").split("/manifests/").next().unwrap_or_default();
                let scope = format!("aws repository:{repository}:pull");
                let realm = self.realm.clone().unwrap_or(format!("http://{host}/token"));
                refused(format!("Negotiate, Bearer realm=\"{realm}\",service=\"s, t\",scope=\"{scope}\""))
            }
        }
    }

    pub(super) fn token(&mut self, request: &Request) -> Answer {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let good = match &self.auth {
            Auth::Bearer { login, .. } => request.authorization == format!("Basic {login}"),
            Auth::Identity { token } => body.ends_with(&format!("refresh_token={token}")),
            other => *other == Auth::Anyone,
        };
        if !good {
            return Answer::error(401, "UNAUTHORIZED", &format!("no: {} {body}", request.authorization));
        }
        (self.tokens, self.used) = (self.tokens + 1, 0);
        let body = format!("{{\"token\":\"\",\"access_token\":\"token-{}\"}}", self.tokens).into_bytes();
        Answer { body, ..Answer::empty(200) }
    }
}
