//! `.helmignore`, as in helm/helm `pkg/ignore/rules.go`.
//!
//! One difference on purpose: a negated rule (`!keep`) is refused, because in Helm it ignores every file that does
//! *not* match it.

use anyhow::{Result, bail};

/// The rules of one `.helmignore` and Helm's own default.
#[derive(Debug, Clone)]
pub struct Rules {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    pattern: Vec<char>,
    /// The rule ended in a slash.
    directories_only: bool,
    /// The rule held a slash elsewhere: it is matched against the whole path, not the base name.
    whole_path: bool,
}

impl Rules {
    /// Reads the rules. Fails, with the line, on a negated rule, on `**` (an error in Helm too), on a malformed
    /// pattern, and on one that would drop the chart's dependencies.
    pub fn parse(text: &str) -> Result<Rules> {
        // Helm's one default rule: dot files right in templates/.
        let mut rules = vec![Rule::parse("templates/.?*")?];
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match Rule::parse(line) {
                Ok(rule) => rules.push(rule),
                Err(error) => bail!("line {number}: {error}"),
            }
        }
        let rules = Rules { rules };
        if rules.ignores("charts/dependency-1.0.0.tgz") {
            bail!("a rule ignores charts/*.tgz, the chart's dependencies; begin it with a slash");
        }
        Ok(rules)
    }

    /// Whether Helm would leave out the file at `path` (slashes, relative to the chart): a rule matches it, or matches
    /// one of the folders above it.
    pub fn ignores(&self, path: &str) -> bool {
        let folders = path.match_indices('/').map(|(end, _)| (&path[..end], true));
        folders
            .chain([(path, false)])
            .any(|(path, is_directory)| self.rules.iter().any(|rule| rule.matches(path, is_directory)))
    }
}

impl Rule {
    fn parse(line: &str) -> Result<Rule> {
        if line.starts_with('!') {
            bail!("Helm takes the negated rule `{line}` for \"ignore everything else\"; list what to ignore instead");
        }
        if line.contains("**") {
            bail!("Helm does not support `**`, in `{line}`");
        }
        let (line, directories_only) = match line.strip_suffix('/') {
            Some(rest) => (rest, true),
            None => (line, false),
        };
        let whole_path = line.contains('/');
        let pattern: Vec<char> = line.strip_prefix('/').unwrap_or(line).chars().collect();
        if !well_formed(&pattern) {
            bail!("`{line}` is not a pattern: a bracket is not closed or a backslash escapes nothing");
        }
        Ok(Rule { pattern, directories_only, whole_path })
    }

    fn matches(&self, path: &str, is_directory: bool) -> bool {
        if self.directories_only && !is_directory {
            return false;
        }
        let subject = if self.whole_path { path } else { path.rsplit('/').next().unwrap_or(path) };
        glob(&self.pattern, &subject.chars().collect::<Vec<_>>())
    }
}

/// Go's `filepath.Match`: `*` and `?` stop at a slash, `[^a-z]` negates, a backslash escapes.
fn glob(pattern: &[char], text: &[char]) -> bool {
    match pattern.first() {
        None => text.is_empty(),
        Some('*') => {
            let reach = text.iter().position(|&c| c == '/').unwrap_or(text.len());
            (0..=reach).any(|taken| glob(&pattern[1..], &text[taken..]))
        }
        Some('?') => text.first().is_some_and(|&c| c != '/') && glob(&pattern[1..], &text[1..]),
        Some('[') => match (text.first(), class(&pattern[1..])) {
            (Some(&c), Some((members, length))) => {
                c != '/' && members.contains(c) && glob(&pattern[1 + length..], &text[1..])
            }
            _ => false,
        },
        Some('\\') => pattern.get(1).is_some_and(|p| text.first() == Some(p)) && glob(&pattern[2..], &text[1..]),
        Some(p) => text.first() == Some(p) && glob(&pattern[1..], &text[1..]),
    }
}

struct Class {
    negated: bool,
    ranges: Vec<(char, char)>,
}

impl Class {
    fn contains(&self, c: char) -> bool {
        self.ranges.iter().any(|&(low, high)| (low..=high).contains(&c)) != self.negated
    }
}

/// The class behind an opening bracket, and how many characters it takes with its closing one.
fn class(pattern: &[char]) -> Option<(Class, usize)> {
    let negated = pattern.first() == Some(&'^');
    let mut at = usize::from(negated);
    let mut ranges = Vec::new();
    loop {
        if pattern.get(at) == Some(&']') && !ranges.is_empty() {
            return Some((Class { negated, ranges }, at + 1));
        }
        let low = class_member(pattern, &mut at)?;
        let mut high = low;
        if pattern.get(at) == Some(&'-') {
            at += 1;
            high = class_member(pattern, &mut at)?;
        }
        ranges.push((low, high));
    }
}

fn class_member(pattern: &[char], at: &mut usize) -> Option<char> {
    let mut c = *pattern.get(*at)?;
    if matches!(c, '-' | ']') {
        return None;
    }
    if c == '\\' {
        *at += 1;
        c = *pattern.get(*at)?;
    }
    *at += 1;
    Some(c)
}

fn well_formed(pattern: &[char]) -> bool {
    let mut at = 0;
    while let Some(c) = pattern.get(at) {
        at += match c {
            '[' => match class(&pattern[at + 1..]) {
                Some((_, length)) => 1 + length,
                None => return false,
            },
            '\\' if at + 1 == pattern.len() => return false,
            '\\' => 2,
            _ => 1,
        };
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rules_match_as_in_helm() {
        let rules = Rules::parse("# comment\n\n.git/\n*.bak\n/notes.txt\ndocs/*.md\n[a-c]?.tmp\n").unwrap();
        for ignored in [".git/config", "a/b.bak", "notes.txt", "docs/x.md", "sub/b1.tmp", "templates/.hidden.yaml"] {
            assert!(rules.ignores(ignored), "{ignored}");
        }
        for kept in [".git", "sub/notes.txt", "docs/a/x.md", "d1.tmp", "templates/sub/.hidden", "values.yaml"] {
            assert!(!rules.ignores(kept), "{kept}");
        }
    }

    #[test]
    fn rules_that_do_not_do_what_they_say_are_refused() {
        for (text, expected) in [
            ("a\n!keep.bak\n", "line 2: Helm takes the negated rule"),
            ("a/**/b\n", "line 1: Helm does not support"),
            ("[a\n", "line 1: `[a` is not a pattern"),
            ("*.tgz\n", "charts/*.tgz"),
        ] {
            let error = Rules::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*", path in "[a-z./\\[*]{1,12}") {
            if let Ok(rules) = Rules::parse(&text) {
                rules.ignores(&path);
            }
        }
    }
}
