//! Times at which routes are active or muted. Source: prometheus/alertmanager `timeinterval/timeinterval.go`.

use super::super::raw::{Scalar, TimeRange, Times};

const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// What Alertmanager refuses, each with the place: `weekdays[0]`.
pub(super) fn problems(times: &Times) -> Vec<(String, String)> {
    let lists: [(&str, &Option<Vec<Scalar>>, Rule); 4] = [
        ("weekdays", &times.weekdays, weekdays),
        ("days_of_month", &times.days_of_month, days_of_month),
        ("months", &times.months, months),
        ("years", &times.years, years),
    ];
    let mut problems = Vec::new();
    for (key, list, rule) in lists {
        for (index, Scalar(text)) in (0..).zip(list.iter().flatten()) {
            problems.extend(rule(text).err().map(|why| (format!("{key}[{index}]"), format!("`{text}`: {why}"))));
        }
    }
    for (index, range) in (0..).zip(times.times.iter().flatten()) {
        problems.extend(clock(range).err().map(|why| (format!("times[{index}]"), why)));
    }
    problems
}

const BACKWARDS: &str = "the range ends before it begins; write two ranges";

/// What a member of one of the lists must be.
type Rule = fn(&str) -> Result<(), String>;

/// One member, or two around a colon.
fn ends(text: &str, member: impl Fn(&str) -> Option<i64>, what: &str) -> Result<(i64, i64), String> {
    let text = text.to_lowercase();
    let (first, last) = text.split_once(':').unwrap_or((&text, &text));
    let one = |text: &str| member(text).ok_or_else(|| format!("`{text}` is no {what}"));
    Ok((one(first)?, one(last)?))
}

fn rising(text: &str, member: impl Fn(&str) -> Option<i64>, what: &str) -> Result<(), String> {
    let (first, last) = ends(text, member, what)?;
    if first > last { Err(BACKWARDS.to_owned()) } else { Ok(()) }
}

/// The place of a name in a list.
fn place(names: &[&str], text: &str) -> Option<i64> {
    (0..).zip(names).find(|(_, name)| **name == text).map(|(place, _)| place)
}

/// A week begins on Sunday.
fn weekdays(text: &str) -> Result<(), String> {
    rising(text, |text| place(&WEEKDAYS, text), "weekday")
}

/// Alertmanager takes any number.
fn months(text: &str) -> Result<(), String> {
    rising(text, |text| place(&MONTHS, text).map(|place| place + 1).or_else(|| text.parse().ok()), "month")
}

fn years(text: &str) -> Result<(), String> {
    rising(text, |text| text.parse().ok(), "year")
}

/// From 1, or from the month's end, which is -1.
fn days_of_month(text: &str) -> Result<(), String> {
    let day = |text: &str| text.parse().ok().filter(|day: &i64| *day != 0 && (-31..=31).contains(day));
    let (first, last) = ends(text, day, "day of a month: 1 to 31, or -1 to -31 from its end")?;
    // Alertmanager compares them in the shortest month.
    let in_february = |day: i64| if day < 0 { 28 + day } else { day };
    match first < 0 && last > 0 || in_february(first) > in_february(last) {
        true => Err(BACKWARDS.to_owned()),
        false => Ok(()),
    }
}

fn clock(range: &TimeRange) -> Result<(), String> {
    let (Some(Scalar(start)), Some(Scalar(end))) = (&range.start, &range.end) else {
        return Err("a range of times needs both `start_time` and `end_time`".to_owned());
    };
    if let Some(text) = [start, end].into_iter().find(|text| !is_time(text)) {
        return Err(format!("`{text}` is not a time such as 09:00; 24:00 is the last"));
    }
    // All are written in five characters, so that their texts have their order.
    if start >= end { Err(format!("{start} to {end}: {BACKWARDS}")) } else { Ok(()) }
}

fn is_time(text: &str) -> bool {
    let is_below = |limit: u32, text: &str| {
        text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse().is_ok_and(|n: u32| n < limit)
    };
    text == "24:00" || text.split_once(':').is_some_and(|(hour, minute)| is_below(24, hour) && is_below(60, minute))
}

#[cfg(test)]
mod tests {
    use crate::Alertmanager;

    fn errors(times: &str) -> Vec<String> {
        let text = format!(
            "route: {{receiver: a}}\nreceivers: [{{name: a}}]\ntime_intervals:\n- name: n\n  time_intervals:\n  - {times}\n"
        );
        let mut findings = Vec::new();
        Alertmanager::parse("a.yml", &text, &mut findings);
        findings.iter().map(|finding| format!("{}: {}", finding.line, finding.message)).collect()
    }

    /// Each was given to amtool 0.34.
    #[test]
    fn times_are_what_alertmanager_takes() {
        for good in [
            "weekdays: ['sunday:saturday', 'Monday:friday', tuesday]",
            "days_of_month: ['1:5', '-3:-1', '5:-1', 5]",
            "months: ['1:3', 'may:August', 13, '1:february']",
            "years: ['2020:2022', 2020, '-5']",
            "times: [{start_time: '09:00', end_time: '24:00'}, {start_time: 09:00, end_time: 17:00}]",
            "location: Europe/Berlin",
            "{}",
            "null",
        ] {
            assert_eq!(errors(good), [""; 0], "{good}");
        }
        for (bad, expected) in [
            ("weekdays: ['saturday:sunday']", "6: `saturday:sunday`: the range ends before it begins"),
            ("weekdays: ['monday : friday']", "6: `monday : friday`: `monday ` is no weekday"),
            ("weekdays: [mon]", "6: `mon`: `mon` is no weekday"),
            ("weekdays: [1]", "6: `1`: `1` is no weekday"),
            ("weekdays: ['monday:tuesday:friday']", "6: `monday:tuesday:friday`: `tuesday:friday` is no weekday"),
            ("weekdays: monday", "6: time_intervals[0].time_intervals[0].weekdays: invalid type"),
            ("days_of_month: ['5:1']", "6: `5:1`: the range ends before"),
            ("days_of_month: ['0']", "6: `0`: `0` is no day of a month"),
            ("days_of_month: ['32']", "6: `32`: `32` is no day of a month"),
            ("days_of_month: ['-5:10']", "6: `-5:10`: the range ends"),
            ("days_of_month: ['30:-30']", "6: `30:-30`: the range ends"),
            ("days_of_month: ['-1:-3']", "6: `-1:-3`: the range ends"),
            ("months: ['december:january']", "6: `december:january`: the range ends"),
            ("months: [jan]", "6: `jan`: `jan` is no month"),
            ("years: ['2022:2020']", "6: `2022:2020`: the range ends"),
            ("years: ['2020: 2022']", "6: `2020: 2022`: ` 2022` is no year"),
            ("times: [{start_time: '17:00', end_time: '09:00'}]", "6: 17:00 to 09:00: the range ends before"),
            ("times: [{start_time: '09:00', end_time: '09:00'}]", "6: 09:00 to 09:00: the range ends before"),
            ("times: [{start_time: '9:00', end_time: '17:00'}]", "6: `9:00` is not a time"),
            ("times: [{start_time: '09:60', end_time: '17:00'}]", "6: `09:60` is not a time"),
            ("times: [{start_time: '09:00'}]", "6: a range of times needs both"),
            ("times: [{start: '09:00'}]", "6: time_intervals[0].time_intervals[0].times[0]: unknown field `start`"),
            ("foo: 1", "6: time_intervals[0].time_intervals[0]: unknown field `foo`"),
        ] {
            let found = errors(bad);
            assert!(found.len() == 1 && found[0].starts_with(expected), "{bad}\n{expected}\n{found:?}");
        }
    }
}
