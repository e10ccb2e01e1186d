//! The `WWW-Authenticate` header (RFC 9110 §11): how a registry wants to be asked, and the scopes of its tokens.

use std::collections::{BTreeMap, BTreeSet};

/// One way in. Parameters have lower-case names.
#[derive(Debug, PartialEq, Eq)]
pub struct Challenge {
    /// `bearer`, `basic`, … in lower case.
    pub scheme: String,
    pub parameters: BTreeMap<String, String>,
}

/// All challenges of a header, or of several joined by commas. What does not read as one is passed over.
pub fn parse(header: &str) -> Vec<Challenge> {
    let mut challenges: Vec<Challenge> = Vec::new();
    for item in items(header) {
        // `Scheme`, `Scheme name=value`, or one more `name=value` of the challenge before. A scheme has no `=`.
        let before_value = item.split('=').next().unwrap_or_default();
        let (scheme, parameter) = match before_value.trim().split_once(' ') {
            Some((scheme, _)) => (Some(scheme), item[scheme.len()..].trim_start()),
            None if item.contains('=') => (None, item),
            None => (Some(item), ""),
        };
        if let Some(scheme) = scheme {
            challenges.push(Challenge { scheme: scheme.to_ascii_lowercase(), parameters: BTreeMap::new() });
        }
        if let (Some(challenge), Some((name, value))) = (challenges.last_mut(), parameter.split_once('=')) {
            challenge.parameters.insert(name.trim().to_ascii_lowercase(), unquoted(value.trim()));
        }
    }
    challenges
}

/// The pieces between commas that are not in quotes.
fn items(header: &str) -> Vec<&str> {
    let (mut items, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, c) in header.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => {
                items.push(&header[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    items.push(&header[start..]);
    items.into_iter().map(str::trim).filter(|item| !item.is_empty()).collect()
}

fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"') else { return value.to_owned() };
    let mut text = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => text.extend(chars.next()),
            c => text.push(c),
        }
    }
    text
}

/// One scope for each resource, with the actions that either side asks for: a token for less would have to be asked for
/// again at the first upload. A scope is `type:name:actions`, read as such: a name may contain the word `push`. Registries
/// have scopes of other forms too, which stay as they are.
pub fn merged_scopes(asked: &str, wanted: &str) -> Vec<String> {
    let mut resources: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for scope in asked.split_whitespace().chain([wanted]) {
        let (resource, actions) = scope.rsplit_once(':').unwrap_or((scope, ""));
        resources.entry(resource).or_default().extend(actions.split(',').filter(|action| !action.is_empty()));
    }
    let scope = |(resource, actions): (&str, BTreeSet<&str>)| match actions.into_iter().collect::<Vec<_>>().join(",") {
        none if none.is_empty() => resource.to_owned(),
        actions => format!("{resource}:{actions}"),
    };
    resources.into_iter().map(scope).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn challenge(scheme: &str, parameters: &[(&str, &str)]) -> Challenge {
        let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Challenge { scheme: scheme.to_owned(), parameters: parameters.collect() }
    }

    #[test]
    fn quotes_commas_and_several_challenges_are_told_apart() {
        for (header, expected) in [
            (
                r#"Bearer realm="https://a/token",service="r, \"x\"",scope="repository:a:pull,push""#,
                vec![challenge(
                    "bearer",
                    &[("realm", "https://a/token"), ("service", r#"r, "x""#), ("scope", "repository:a:pull,push")],
                )],
            ),
            (
                "Negotiate, BASIC Realm=\"x\", Bearer realm = \"u?a=b\" , service=s",
                vec![
                    challenge("negotiate", &[]),
                    challenge("basic", &[("realm", "x")]),
                    challenge("bearer", &[("realm", "u?a=b"), ("service", "s")]),
                ],
            ),
            ("Basic", vec![challenge("basic", &[])]),
            ("", vec![]),
            ("realm=\"of nobody\"", vec![]),
        ] {
            assert_eq!(parse(header), expected, "{header}");
        }
    }

    #[test]
    fn scopes_become_one_for_each_resource() {
        let wanted = "repository:push/a:pull,push";
        assert_eq!(merged_scopes("repository:push/a:pull", wanted), [wanted]);
        assert_eq!(merged_scopes("", wanted), [wanted]);
        assert_eq!(
            merged_scopes("registry:catalog:* repository:push/a:delete  aws", wanted),
            ["aws", "registry:catalog:*", "repository:push/a:delete,pull,push"]
        );
    }

    proptest! {
        #[test]
        fn any_header_is_read(header in "[a-zA-Z=\",\\\\ é:/]{0,60}") {
            parse(&header);
        }
    }
}
