//! Trying again: after trouble that may pass, with growing pauses or those that the server asks for.

use std::time::{Duration, SystemTime};

use anyhow::{Result, anyhow};
use jiff::fmt::rfc2822;
use ureq::http::header::RETRY_AFTER;

use super::Answer;
use crate::failure::plural;

/// The pause before the second try; each one after that is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Nobody sits before a command for longer; who is asked to wait longer comes back later.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Why one try failed, and whether another one may help.
#[derive(Debug)]
pub enum Failure {
    /// It may; after `pause`, where the server says so.
    Temporary { error: anyhow::Error, pause: Option<Duration> },
    /// It will not.
    Final(anyhow::Error),
}

impl Failure {
    /// Trouble after which nobody has said how long to wait.
    pub fn temporary(error: anyhow::Error) -> Failure {
        Failure::Temporary { error, pause: None }
    }

    /// The same failure, its error under a heading.
    pub fn context(self, what: String) -> Failure {
        match self {
            Failure::Temporary { error, pause } => Failure::Temporary { error: error.context(what), pause },
            Failure::Final(error) => Failure::Final(error.context(what)),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        Failure::Final(error)
    }
}

/// The failure that an answer's status stands for, if it may pass.
pub fn temporary(answer: &Answer) -> Option<Failure> {
    let status = answer.status;
    if !matches!(status.as_u16(), 408 | 429 | 500 | 502..=599) {
        return None;
    }
    let header = answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let pause = header.and_then(|text| retry_after(text, SystemTime::now()));
    Some(Failure::Temporary { error: anyhow!("the server answers {status}"), pause })
}

/// Both forms of the header: seconds, and a date.
fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()?;
    Some(SystemTime::from(date).duration_since(now).unwrap_or_default())
}

/// Tries once and then up to `retries` times more. Every error says `what` was being done.
pub fn retrying<T>(
    what: &str,
    retries: u32,
    sleep: impl Fn(Duration),
    mut attempt: impl FnMut() -> Result<T, Failure>,
) -> Result<T> {
    let mut backoff = FIRST_PAUSE;
    let mut left = retries;
    loop {
        let (error, pause) = match attempt() {
            Ok(value) => return Ok(value),
            Err(Failure::Final(error)) => return Err(error.context(what.to_owned())),
            Err(Failure::Temporary { error, pause }) => (error, pause.unwrap_or(backoff)),
        };
        if left == 0 {
            return Err(error.context(format!("{what} failed {}", plural(retries as usize + 1, "time"))));
        }
        if pause > LONGEST_PAUSE {
            return Err(error.context(format!("{what}: the server asks to be left alone for {} s", pause.as_secs())));
        }
        note!("{what}: {error:#}; trying again in {:.1} s", pause.as_secs_f32());
        sleep(pause);
        (left, backoff) = (left - 1, (backoff * 2).min(LONGEST_PAUSE));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Fails as told, then succeeds. Gives the pauses that were made, in milliseconds.
    fn run(retries: u32, failures: Vec<Failure>) -> (Result<u8>, Vec<u128>) {
        let pauses = RefCell::new(Vec::new());
        let mut failures = failures.into_iter();
        let result = retrying(
            "asking",
            retries,
            |pause| pauses.borrow_mut().push(pause.as_millis()),
            || failures.next().map_or(Ok(1), Err),
        );
        (result, pauses.into_inner())
    }

    fn asks(seconds: u64) -> Failure {
        Failure::Temporary { error: anyhow!("busy"), pause: Some(Duration::from_secs(seconds)) }
    }

    #[test]
    fn pauses_grow_unless_the_server_says_how_long() {
        let trouble = || Failure::temporary(anyhow!("busy"));
        let (result, pauses) = run(3, vec![trouble(), asks(7), trouble()]);
        assert_eq!((result.unwrap(), pauses), (1, vec![500, 7000, 2000]));
        let (result, pauses) = run(9, (0..9).map(|_| trouble()).collect());
        assert_eq!((result.unwrap(), &pauses[6..]), (1, &[32_000, 60_000, 60_000][..]));
        let (result, pauses) = run(1, vec![trouble(), trouble()]);
        assert_eq!(format!("{:#}", result.unwrap_err()), "asking failed 2 times: busy");
        assert_eq!(pauses, [500]);
    }

    #[test]
    fn what_will_not_pass_ends_it_at_once() {
        let (result, pauses) = run(3, vec![Failure::Final(anyhow!("no"))]);
        assert!(result.is_err() && pauses.is_empty());
        let (result, pauses) = run(3, vec![asks(3600)]);
        assert!(format!("{:#}", result.unwrap_err()).contains("left alone for 3600 s") && pauses.is_empty());
    }

    #[test]
    fn both_forms_of_retry_after_are_read() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_767);
        for (text, expected) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(10)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            assert_eq!(retry_after(text, now), expected.map(Duration::from_secs), "{text}");
        }
    }
}
