//! The walk of an alert through the routes, for labels of which not all is known.
//! Source: prometheus/alertmanager `dispatch/route.go`, `Match`.

use super::Route;
use super::matcher::{self, Certainty};
use crate::infer::Labels;

/// An alert that perhaps comes to a route and matches.
#[derive(Debug)]
pub(crate) struct Visit<'a> {
    pub(crate) route: &'a Route,
    /// Whether it does, and no route within takes it.
    pub(crate) delivered: Certainty,
}

impl Route {
    /// Whether alerts with these labels match, once they come here.
    pub(crate) fn certainty(&self, labels: &Labels) -> Certainty {
        matcher::certainty(&self.matchers, labels)
    }

    /// Sends an alert in here. Routes that it surely does not come to are left out; those within come before the route
    /// around them, as Alertmanager lists them.
    pub(crate) fn visits(&self, labels: &Labels) -> Vec<Visit<'_>> {
        let mut visits = Vec::new();
        visit(self, labels, Certainty::Always, &mut visits);
        visits
    }
}

/// `arrives` says whether the alert comes to the route at all. Gives whether the route matches one that does.
fn visit<'a>(route: &'a Route, labels: &Labels, arrives: Certainty, visits: &mut Vec<Visit<'a>>) -> Certainty {
    let matches = route.certainty(labels);
    let entered = arrives.min(matches);
    if entered == Certainty::Never {
        return matches;
    }
    // What is left for the next route within, and whether one has matched. A route that always matches settles both:
    // an alert that does not come to it was taken before.
    let (mut left, mut taken) = (Certainty::Always, Certainty::Never);
    for inner in &route.routes {
        let matched = visit(inner, labels, entered.min(left), visits);
        taken = taken.max(matched);
        if !inner.continues {
            left = left.min(matched.opposite());
        }
        if left == Certainty::Never {
            break;
        }
    }
    visits.push(Visit { route, delivered: entered.min(taken.opposite()) });
    matches
}
