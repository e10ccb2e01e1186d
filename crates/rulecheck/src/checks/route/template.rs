//! `route/group-by`, in the texts of notifications: a field, a function or a template that Alertmanager does not have,
//! so that sending fails each time although the configuration loads; or a label or an annotation that no alert has, so
//! that the text has a hole.

use super::{Alert, Context, did_you_mean};
use crate::alertmanager::{Receiver, Text};
use crate::finding::Finding;
use crate::template::notification::{Dot, Field, Notification};

const CHECK: &str = "route/group-by";

/// Fields of a notification. Source: prometheus/alertmanager `template/template.go`, `Data`.
const OF_NOTIFICATION: [&str; 9] = [
    "Receiver",
    "Status",
    "Alerts",
    "NotificationReason",
    "GroupLabels",
    "CommonLabels",
    "CommonAnnotations",
    "RouteLabels",
    "ExternalURL",
];

/// Fields of an alert, from the same place.
const OF_ALERT: [&str; 7] = ["Status", "Labels", "Annotations", "StartsAt", "EndsAt", "GeneratorURL", "Fingerprint"];

/// What can be asked of labels and annotations beside their names.
const METHODS: [&str; 4] = ["SortedPairs", "Remove", "Names", "Values"];

/// Alertmanager's functions, then those that Go brings.
const FUNCTIONS: &str = "toUpper toLower title trimSpace join match safeHtml safeUrl urlUnescape reReplaceAll \
    stringSlice routeLabels date tz now since humanizeDuration toDate mustToDate toJson base64encode base64decode list append dict \
    and call html index slice js len not or print printf println urlquery eq ge gt le lt ne";

/// The templates that Alertmanager brings, by their first words. Source: its `template/default.tmpl` and `email.tmpl`.
const TEMPLATES: [(&str, &str); 17] = [
    ("slack.default", "title username fallback callbackid pretext titlelink iconemoji iconurl text footer color"),
    ("pagerduty.default", "description client clientURL instances"),
    ("opsgenie.default", "message description source"),
    ("wechat.default", "message to_user to_party to_tag agent_id"),
    ("victorops.default", "state_message entity_display_name monitoring_tool"),
    ("pushover.default", "title message url"),
    ("sns.default", "subject message"),
    ("telegram.default", "message"),
    ("discord.default", "content title message"),
    ("webex.default", "message"),
    ("msteams.default", "summary title text"),
    ("msteamsv2.default", "title text"),
    ("jira.default", "summary description priority"),
    ("rocketchat.default", "title alias titlelink emoji iconurl text"),
    ("mattermost.default", "color username title titlelink fallback text"),
    ("email.default", "subject html"),
    // Those that the others are made of.
    ("_", "_alertmanager _alertmanagerURL _subject _description _text_alert_list _text_alert_list_markdown"),
];

pub(super) fn check(context: &Context<'_>) -> Vec<Finding> {
    let receivers = context.config.receivers.iter();
    let texts = receivers.flat_map(|receiver| receiver.templates.iter().map(move |text| (receiver, text)));
    texts.flat_map(|(receiver, text)| of_text(context, &Place { receiver, text })).collect()
}

/// A text of a receiver.
struct Place<'a> {
    receiver: &'a Receiver,
    text: &'a Text,
}

impl Place<'_> {
    fn error(&self, context: &Context<'_>, at: usize, message: &str) -> Finding {
        let line = self.text.line + self.text.text[..at].matches('\n').count();
        context.error(line, CHECK, &self.receiver.path, format!("{}: {message}", self.text.field))
    }
}

fn of_text(context: &Context<'_>, place: &Place<'_>) -> Vec<Finding> {
    let template = match Notification::parse(&place.text.text) {
        Ok(template) => template,
        Err(error) => {
            let message = format!("{}: every notification fails", error.message);
            return vec![place.error(context, error.at, &message)];
        }
    };
    let alerts = alerts_of(context, place.receiver);
    let fields = template.fields.iter().filter_map(|field| of_field(context, place, field, &alerts));
    let functions = template.functions.iter().filter(|(name, _)| !is_one_of(name, FUNCTIONS));
    let functions = functions.map(|(name, at)| {
        let message = format!("Alertmanager has no function `{name}`: every notification fails");
        place.error(context, *at, &message).help(did_you_mean(name, FUNCTIONS.split_whitespace()))
    });
    let is_known = |name: &str| template.defined.iter().any(|known| known == name) || is_brought(name);
    let templates = template.templates.iter().filter(|(name, _)| !context.config.reads_templates && !is_known(name));
    let templates = templates.map(|(name, at)| {
        let message = format!("there is no template `{name}`: every notification fails");
        place.error(context, *at, &message).help("name the file that defines it under `templates`")
    });
    fields.chain(functions).chain(templates).collect()
}

/// The alerts of which this receiver notifies, as far as they are known.
fn alerts_of<'a>(context: &Context<'a>, receiver: &Receiver) -> Vec<&'a Alert<'a>> {
    let routes = context.config.root.walk().into_iter().filter(|route| route.receiver == receiver.name);
    let traffic = routes.filter_map(|route| context.traffic.get(route.path.as_str()));
    traffic.flat_map(|traffic| traffic.delivered.iter().copied()).collect()
}

fn of_field(context: &Context<'_>, place: &Place<'_>, field: &Field, alerts: &[&Alert<'_>]) -> Option<Finding> {
    let (fields, whose): (&[&str], _) = match field.of {
        Dot::Notification => (&OF_NOTIFICATION, "a notification"),
        Dot::Alert => (&OF_ALERT, "an alert"),
        Dot::Other => return None,
    };
    let first = field.path.first()?.as_str();
    let name = field.path.get(1).map(String::as_str).filter(|name| !METHODS.contains(name));
    if !fields.contains(&first) {
        let message = format!("{whose} has no field .{first}: every notification fails");
        return Some(place.error(context, field.at, &message).help(instead(field, first, name, fields)));
    }
    let (name, text) = (name?, field.path.join("."));
    let hole = |why: String, help: String| {
        Some(place.error(context, field.at, &format!(".{text} is always empty: {why}")).warning().help(help))
    };
    match first {
        "Labels" | "CommonLabels" if !alerts.is_empty() && !alerts.iter().any(|alert| alert.may_carry(name)) => {
            let labels = alerts.iter().flat_map(|alert| &alert.sets).flat_map(|labels| labels.iter());
            hole(
                format!("no alert that comes here carries `{name}`"),
                did_you_mean(name, labels.map(|(name, _)| name.as_ref())),
            )
        }
        "Annotations" | "CommonAnnotations" if !alerts.is_empty() => {
            let mut all = alerts.iter().flat_map(|alert| alert.annotations.iter().copied());
            if all.clone().any(|known| known == name) {
                return None;
            }
            hole(format!("no alert that comes here has the annotation `{name}`"), did_you_mean(name, &mut all))
        }
        "GroupLabels" => {
            let routes = context.config.root.walk().into_iter();
            let mut groupings =
                routes.filter(|route| route.receiver == place.receiver.name).map(|route| &route.grouping);
            let lacks = |labels: &Option<Vec<String>>| {
                labels.as_ref().is_some_and(|labels| !labels.iter().any(|it| it == name))
            };
            let first = groupings.next().filter(|first| lacks(&first.labels))?;
            if !groupings.all(|grouping| lacks(&grouping.labels)) {
                return None;
            }
            hole(
                format!("group_by on line {} has no `{name}`", first.line),
                format!("use `.CommonLabels.{name}`, or add `{name}` to group_by"),
            )
        }
        _ => None,
    }
}

/// What to write instead of a field that there is not.
fn instead(field: &Field, first: &str, name: Option<&str>, fields: &[&str]) -> String {
    let name = name.map_or_else(String::new, |name| format!(".{name}"));
    match (field.of, first) {
        (Dot::Notification, "Labels" | "Annotations") => {
            format!("use `.Common{first}{name}`, or `{{{{ range .Alerts }}}}{{{{ .{first}{name} }}}}{{{{ end }}}}`")
        }
        (Dot::Alert, first) if OF_NOTIFICATION.contains(&first) => {
            format!("use `$.{first}{name}`: within `range` the dot is an alert")
        }
        _ => did_you_mean(first, fields.iter().copied()),
    }
}

fn is_brought(name: &str) -> bool {
    let parts = |start: &str| name.strip_prefix(start).map(|rest| rest.trim_start_matches('.').to_owned());
    TEMPLATES.iter().any(|(start, names)| parts(start).is_some_and(|rest| is_one_of(&rest, names)))
}

fn is_one_of(word: &str, words: &str) -> bool {
    words.split_whitespace().any(|known| known == word)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{findings, of_rules};

    /// What is found about a text of a receiver.
    fn of(text: &str) -> Vec<String> {
        texts(findings(&config(text, ""), &[]))
    }

    fn config(text: &str, more: &str) -> String {
        let text = text.replace('\n', "\n          ");
        format!(
            "route: {{receiver: a, group_by: [alertname]}}\n{more}receivers:\n  - name: a\n    slack_configs:\n      - \
             text: |\n          {text}\n"
        )
    }

    fn texts(findings: Vec<crate::Finding>) -> Vec<String> {
        let texts = findings.into_iter().map(|it| {
            assert_eq!((it.check, it.subject.as_str()), ("route/group-by", "route receivers[0]"));
            let text = it.message.strip_prefix("slack_configs[0].text: ").unwrap();
            format!("{}: {}: {text} ({})", it.line, it.severity, it.help)
        });
        texts.collect()
    }

    #[test]
    fn a_notification_has_no_annotations_of_its_own() {
        assert_eq!(
            of("{{ .Status }}\n{{ .Annotations.summary }}"),
            [
                "7: error: a notification has no field .Annotations: every notification fails (use `.CommonAnnotations.summary`, \
              or `{{ range .Alerts }}{{ .Annotations.summary }}{{ end }}`)"
            ]
        );
        assert_eq!(
            of("{{ range .Alerts }}{{ .CommonLabels.x }}{{ end }}"),
            [
                "6: error: an alert has no field .CommonLabels: every notification fails (use `$.CommonLabels.x`: within \
              `range` the dot is an alert)"
            ]
        );
        assert_eq!(
            of("{{ .Alert }}")[0],
            "6: error: a notification has no field .Alert: every notification fails (did you mean `.Alerts`?)"
                .replace("`.", "`")
        );
    }

    #[test]
    fn what_notifications_and_alerts_have_passes() {
        for text in [
            "{{ range .Alerts }}{{ .Annotations.summary }} {{ .Labels.alertname }} {{ $.GroupLabels.alertname }}{{ end }}",
            "{{ (index .Alerts 0).Annotations.summary }} {{ .CommonAnnotations.SortedPairs.Values | join \" \" }}",
            "{{ with .CommonLabels.Remove .GroupLabels.Names }}{{ .Values }}{{ end }}{{ .ExternalURL }}",
            "{{ template \"slack.default.title\" . }}{{ template \"__alertmanagerURL\" . }}",
            "{{ define \"x\" }}{{ .y }}{{ end }}{{ template \"x\" . }}",
            "{{ if gt (len .Alerts.Firing) 0 }}{{ .Alerts.Firing | len }}{{ end }}",
        ] {
            assert_eq!(of(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn templates_and_functions_must_exist() {
        assert_eq!(
            of("{{ template \"slack.default.titel\" . }}"),
            [
                "6: error: there is no template `slack.default.titel`: every notification fails (name the file that defines it \
              under `templates`)"
            ]
        );
        assert_eq!(texts(findings(&config("{{ template \"x\" . }}", "templates: ['*.tmpl']\n"), &[])), [""; 0]);
        assert_eq!(
            of("{{ .Status | toupper }}"),
            ["6: error: Alertmanager has no function `toupper`: every notification \
            fails (did you mean `toUpper`?)"]
        );
        assert_eq!(
            of("{{ if .Status }}"),
            ["6: error: `if` is not closed by `{{ end }}`: every notification fails ()"]
        );
    }

    #[test]
    fn what_no_alert_has_leaves_a_hole() {
        let rules = "      - {alert: A, expr: 'sum by (pod) (up) > 1', annotations: {summary: x}}\n";
        let of = |text: &str| texts(of_rules(&config(text, ""), rules));
        assert_eq!(
            of("{{ .CommonLabels.node }}{{ .CommonAnnotations.sumary }}{{ .GroupLabels.pod }}"),
            [
                "6: warning: .CommonAnnotations.sumary is always empty: no alert that comes here has the annotation `sumary` \
                 (did you mean `summary`?)",
                "6: warning: .CommonLabels.node is always empty: no alert that comes here carries `node` ()",
                "6: warning: .GroupLabels.pod is always empty: group_by on line 1 has no `pod` (use `.CommonLabels.pod`, or \
                 add `pod` to group_by)",
            ]
        );
        assert_eq!(of("{{ .CommonLabels.pod }}{{ .CommonLabels.cluster }}{{ .CommonAnnotations.summary }}"), [""; 0]);
        assert_eq!(of("{{ .CommonLabels.SortedPairs }}{{ .GroupLabels.alertname }}"), [""; 0]);
    }
}
