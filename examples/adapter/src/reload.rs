//! What a new configuration changes of what runs, and what of it needs the pipeline anew.

use std::fs;

use eventlane::redacted;
use serde_json::Value;

use crate::config::PipelineConfig;

/// A configuration, and what it said when it was read: what is in the files that it names for TLS
/// may be something else by now.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The configuration.
    pub config: PipelineConfig,
    said: Value,
}

impl Plan {
    /// Reads those files.
    pub fn new(config: PipelineConfig) -> Self {
        let said = redacted::told_apart(|| {
            let mut said = serde_json::to_value(&config).unwrap_or_default();
            read_tls(&mut said, false);
            said
        });
        Self { config, said }
    }

    /// Whether both say the same.
    pub fn is(&self, other: &Self) -> bool {
        self.said == other.said
    }
}

/// Puts what is in them in place of the files' names.
fn read_tls(node: &mut Value, in_tls: bool) {
    match node {
        Value::Object(entries) => {
            for (key, node) in entries {
                read_tls(node, in_tls || key == "tls");
            }
        }
        Value::String(text) if in_tls => {
            if let Ok(content) = fs::read(&*text) {
                // Exactly, also what is no text.
                text.push_str(&redacted::text(&format!("{content:?}")));
            }
        }
        _ => {}
    }
}

/// What two configurations of a pipeline differ in, by the names of the settings.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// What takes effect at once.
    pub live: Vec<String>,
    /// What needs the pipeline anew.
    pub anew: Vec<String>,
}

/// Compares what runs with what is to run. `takes` says whether the sink can take the new mode.
pub fn compare(now: &Plan, new: &Plan, takes: bool) -> Changes {
    let mut paths = Vec::new();
    differences(&now.said, &new.said, &mut String::new(), &mut paths);
    let is_live = |path: &String| {
        let inside = |of: &&str| {
            let rest = path.strip_prefix(*of);
            rest.is_some_and(|rest| rest.starts_with('.'))
        };
        match path.as_str() {
            "sink.http.mode" => takes,
            path => WHOLE.contains(&path) || WHOLE.iter().chain(&INSIDE).any(inside),
        }
    };
    let (live, anew) = paths.into_iter().partition(is_live);
    Changes { live, anew }
}

/// What can be exchanged while the pipeline runs.
const WHOLE: [&str; 5] = [
    "sink.http",
    "delivery.budgets",
    "delivery.batch",
    "delivery.retry",
    "delivery.on_exhausted",
];

/// The same of what is there before and after.
const INSIDE: [&str; 3] = [
    "delivery.dead_letter.http",
    "source.rocketmq.credentials",
    "source.mns.credentials",
];

fn differences(a: &Value, b: &Value, path: &mut String, out: &mut Vec<String>) {
    if a == b {
        return;
    }
    let (Value::Object(a), Value::Object(b)) = (a, b) else {
        return out.push(path.clone());
    };
    let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
    for key in keys {
        let length = path.len();
        if length > 0 {
            path.push('.');
        }
        path.push_str(key);
        let none = Value::Null;
        differences(
            a.get(key).unwrap_or(&none),
            b.get(key).unwrap_or(&none),
            path,
            out,
        );
        path.truncate(length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_texts;

    fn pipeline(delivery: &str, sink: &str, source: &str) -> PipelineConfig {
        let text = format!(
            "pipelines: {{p: {{source: {{kafka: {{bootstrap_servers: b, group: g, topics: [t]{source}}}}}, \
             sink: {{http: {{url: \"http://a/\"{sink}}}}}, delivery: {{{delivery}}}}}}}"
        );
        let loaded = load_texts(&[("test".to_owned(), text)], &|_| None);
        let mut config = loaded.unwrap_or_else(|error| panic!("{error}")).config;
        config.pipelines.remove("p").unwrap()
    }

    #[test]
    fn each_setting_is_live_or_needs_the_pipeline_anew() {
        let directory = tempfile::tempdir().unwrap();
        let ca = directory.path().join("ca.pem");
        fs::write(&ca, "old").unwrap();
        let sasl = |password: &str| {
            format!(", sasl: {{mechanism: PLAIN, username: u, password: {password}}}")
        };
        let tls = format!(", tls: {{ca: {}}}", ca.display());
        let source = format!("{}{tls}", sasl("old"));
        let letters = |token: &str| {
            let auth = format!("auth: {{bearer: {{token: {token}}}}}");
            format!("dead_letter: {{http: {{endpoint: {{url: \"http://d/\", {auth}}}}}}}")
        };
        let replies = |token: &str| {
            let auth = format!("auth: {{bearer: {{token: {token}}}}}");
            format!("}}, replies_to: {{http: {{url: \"http://b/\", {auth}}}")
        };
        let now = Plan::new(pipeline(&letters("old"), &replies("old"), &source));
        fs::write(&ca, "new").unwrap();
        let (same_letters, same_replies) = (letters("old"), replies("old"));
        let rewritten = Plan::new(pipeline(&same_letters, &same_replies, &source));
        let changes = compare(&now, &rewritten, true);
        assert_eq!(
            (changes.live.len(), changes.anew),
            (0, vec!["source.kafka.tls.ca".to_owned()])
        );

        let now = rewritten;
        for (delivery, sink, more, live, anew) in [
            ("", "", "", "", ""),
            (
                "retry: {attempts: 3}",
                "",
                "",
                "delivery.retry.attempts",
                "",
            ),
            (
                "budgets: {requests: 3}",
                "",
                "",
                "delivery.budgets.requests",
                "",
            ),
            ("batch: {events: 3}", "", "", "delivery.batch.events", ""),
            ("on_exhausted: drop", "", "", "delivery.on_exhausted", ""),
            ("ordering: none", "", "", "", "delivery.ordering"),
            (
                "commit_interval: 5s",
                "",
                "",
                "",
                "delivery.commit_interval",
            ),
            ("grace: 5s", "", "", "", "delivery.grace"),
            ("", ", idle_timeout: 5s", "", "sink.http.idle_timeout", ""),
            ("", ", mode: structured", "", "sink.http.mode", ""),
            ("", ", mode: batched", "", "", "sink.http.mode"),
            ("", "", ", start: latest", "", "source.kafka.start"),
        ] {
            let delivery = format!("{same_letters}, {delivery}");
            let sink = format!("{sink}{same_replies}");
            let new = Plan::new(pipeline(&delivery, &sink, &format!("{source}{more}")));
            let changes = compare(&now, &new, !sink.contains("batched"));
            let list = |text: &str| Vec::from_iter((!text.is_empty()).then(|| text.to_owned()));
            let expected = Changes {
                live: list(live),
                anew: list(anew),
            };
            assert_eq!(changes, expected);
        }
        // Secrets, none of which is in sight.
        for (letters, replies, source, live, anew) in [
            (
                letters("new"),
                replies("old"),
                source.clone(),
                "delivery.dead_letter.http.endpoint.auth.bearer.token",
                "",
            ),
            (
                letters("old"),
                replies("new"),
                source,
                "",
                "sink.replies_to.http.auth.bearer.token",
            ),
            (
                letters("old"),
                replies("old"),
                format!("{}{tls}", sasl("new")),
                "",
                "source.kafka.sasl.password",
            ),
        ] {
            let new = Plan::new(pipeline(&letters, &replies, &source));
            let changes = compare(&now, &new, true);
            let shown = [changes.live.join(" "), changes.anew.join(" ")];
            assert_eq!(shown, [live, anew]);
            let all = format!("{}{}", now.said, new.said);
            assert!(!all.contains("\"old") && !all.contains("\"new"), "{all}");
        }
    }
}
