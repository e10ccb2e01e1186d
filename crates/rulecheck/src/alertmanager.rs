//! Alertmanager's configuration: where alerts go, which of them silence others, what the notifications say.
//!
//! Source: prometheus/alertmanager `config/config.go`, `dispatch/route.go`.

pub mod matcher;
mod raw;
mod read;
pub mod syntax;
mod walk;

use std::rc::Rc;

use crate::exception::Exception;
use crate::finding::Finding;
use crate::infer::Labels;

pub use matcher::{Certainty, Matcher};

/// A configuration file.
#[derive(Debug)]
pub struct Alertmanager {
    /// The path as the caller named it.
    pub path: String,
    /// The route that all alerts enter.
    pub root: Route,
    /// Which alerts silence which.
    pub inhibit_rules: Vec<InhibitRule>,
    /// Who is notified.
    pub receivers: Vec<Receiver>,
    /// Whether it reads files with templates, so that not all templates are known.
    pub reads_templates: bool,
    /// Findings that its comments allow, each about one route, inhibition rule or receiver.
    pub exceptions: Vec<Exception>,
}

/// A route.
#[derive(Debug)]
pub struct Route {
    /// Its place: `route.routes[2]`.
    pub path: String,
    /// Its line, from 1.
    pub line: usize,
    /// The receiver, its own or the one of the route around it.
    pub receiver: String,
    /// What alerts must match, all of it.
    pub matchers: Vec<Matcher>,
    /// Whether alerts that match go on to the next route beside this one.
    pub continues: bool,
    /// What groups alerts, declared here or by a route around it.
    pub grouping: Rc<Grouping>,
    /// The routes within, in order.
    pub routes: Vec<Route>,
}

/// By which labels alerts are grouped into one notification.
#[derive(Debug, PartialEq, Eq)]
pub struct Grouping {
    /// The path of the route that declares it.
    pub path: String,
    /// The line of `group_by`.
    pub line: usize,
    /// The labels; `None` for `...`, which is all of them.
    pub labels: Option<Vec<String>>,
}

/// An inhibition rule: while a source alert fires, target alerts that agree with it in some labels are silent.
#[derive(Debug)]
pub struct InhibitRule {
    /// Its place: `inhibit_rules[1]`.
    pub path: String,
    /// Its line, from 1.
    pub line: usize,
    /// What source alerts match.
    pub source: Vec<Matcher>,
    /// What target alerts match.
    pub target: Vec<Matcher>,
    /// The labels in which both must agree. A label that both lack is the same on both.
    pub equal: Vec<String>,
}

/// A receiver.
#[derive(Debug)]
pub struct Receiver {
    /// Its place: `receivers[0]`.
    pub path: String,
    /// Its line, from 1.
    pub line: usize,
    /// Its name.
    pub name: String,
    /// How many notifications it sends: one for each of its integrations. With none, nobody is notified.
    pub integrations: usize,
    /// The texts of its integrations that are templates.
    pub templates: Vec<Text>,
}

/// A text of an integration.
#[derive(Debug)]
pub struct Text {
    /// Its place within the receiver: `slack_configs[0].title`.
    pub field: String,
    /// The line on which it begins.
    pub line: usize,
    /// The text.
    pub text: String,
}

impl Alertmanager {
    /// Reads a configuration. What Alertmanager would refuse is a `file/syntax` finding; with one there is no
    /// configuration, since Alertmanager would not load it either. The fields of `global` and of the integrations are
    /// not looked at, but for their templates.
    pub fn parse(path: &str, text: &str, findings: &mut Vec<Finding>) -> Option<Alertmanager> {
        read::alertmanager(path, text, findings)
    }

    /// The routes that notify of an alert with these labels, in Alertmanager's order, and whether they surely do. Their
    /// receivers are what `amtool config routes test` prints.
    pub fn receivers(&self, labels: &Labels) -> Vec<(&Route, Certainty)> {
        let visits = self.root.visits(labels).into_iter();
        visits.filter(|visit| visit.delivered != Certainty::Never).map(|visit| (visit.route, visit.delivered)).collect()
    }

    /// The receiver of this name.
    pub fn receiver(&self, name: &str) -> Option<&Receiver> {
        self.receivers.iter().find(|receiver| receiver.name == name)
    }
}

impl Route {
    /// The route and all within, each before those within it.
    pub fn walk(&self) -> Vec<&Route> {
        let mut found = vec![self];
        found.extend(self.routes.iter().flat_map(Route::walk));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::{Domain, Label};

    const CONFIG: &str = "route:
  receiver: rest
  routes:
    - matchers: [severity=critical]
      receiver: pager
      continue: true
      routes:
        - matchers: [team=~a.*]
          receiver: team
    - matchers: [severity=~critical|warning]
      receiver: chat
    - match: {severity: info}
receivers: [{name: rest}, {name: pager}, {name: team}, {name: chat}]
";

    /// The receivers of an alert with these labels, `?` where it may also have another value.
    fn receivers(labels: &[(&str, &str)]) -> String {
        let config = Alertmanager::parse("a.yml", CONFIG, &mut Vec::new()).unwrap();
        let mut set = Labels::none("nothing sets it");
        for (name, value) in labels {
            let domain = if *value == "?" { Domain::Any } else { Domain::one(value) };
            set.set(*name, Label::always(domain));
        }
        let found = config.receivers(&set);
        let named = found.iter().map(|(route, certainty)| match certainty {
            Certainty::Always => route.receiver.clone(),
            _ => format!("{}?", route.receiver),
        });
        named.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn alerts_go_where_alertmanager_sends_them() {
        assert_eq!(receivers(&[("severity", "critical")]), "pager chat");
        assert_eq!(receivers(&[("severity", "critical"), ("team", "ab")]), "team chat");
        assert_eq!(receivers(&[("severity", "warning"), ("team", "ab")]), "chat");
        assert_eq!(receivers(&[("severity", "info")]), "rest");
        assert_eq!(receivers(&[]), "rest");
    }

    #[test]
    fn where_labels_are_not_known_routes_are_not_certain() {
        assert_eq!(receivers(&[("severity", "critical"), ("team", "?")]), "team? pager? chat");
        assert_eq!(receivers(&[("severity", "?")]), "pager? chat? rest? rest?");
    }
}
