//! How deep an expression is, told from its text before the parser sees it.

use super::token_length;

/// Deeper nesting, or a longer chain of operators, than any person writes. It bounds every recursion over expressions:
/// the parser's own, ours, and the one that drops a tree.
pub(super) const MAX_DEPTH: usize = 200;

/// What stands between a bracket and its end: the operators since the last comma, the deepest bracket among them, and
/// the deepest of the arguments before.
#[derive(Default)]
struct Level {
    operators: usize,
    inner: usize,
    before: usize,
}

impl Level {
    fn depth(&self) -> usize {
        self.before.max(self.operators + self.inner)
    }
}

/// At least the depth of the tree that the parser would build. A chain of operators leans to one side, so each counts.
pub(super) fn depth(text: &str) -> usize {
    let mut open: Vec<Level> = Vec::new();
    let mut level = Level::default();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (token, behind) = rest.split_at(token_length(rest, c));
        rest = behind;
        match c {
            '(' => open.push(std::mem::take(&mut level)),
            '[' => {
                // A range or a subquery wraps what stands before it.
                level.operators += 1;
                open.push(std::mem::take(&mut level));
            }
            ')' | ']' => {
                if let Some(outer) = open.pop() {
                    let closed = std::mem::replace(&mut level, outer).depth() + 1;
                    level.inner = level.inner.max(closed);
                }
            }
            ',' => level = Level { before: level.depth(), ..Level::default() },
            '+' | '-' | '*' | '/' | '%' | '^' | '=' | '!' | '<' | '>' => level.operators += 1,
            _ if ["and", "or", "unless", "atan2"].iter().any(|word| token.eq_ignore_ascii_case(word)) => {
                level.operators += 1;
            }
            _ => {}
        }
        if open.len() > MAX_DEPTH {
            break;
        }
    }
    open.iter().rev().fold(level.depth(), |inside, outer| inside + 1 + outer.depth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_looks_deep_passes() {
        assert_eq!(depth("a{b=\"((((\", c=~'[[[['} # (((("), 0);
        assert_eq!(depth("f(a + b, c + d, e)"), 2);
        assert_eq!(depth("(a) or (b) or (c >= bool 1)"), 4);
        assert_eq!(depth("max_over_time(order_total[5m])"), 3);
    }
}
