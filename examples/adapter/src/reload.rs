//! What a new configuration changes of what runs, and what has to wait for a restart.

use serde_json::Value;

use crate::config::{DeadLetterConfig, PipelineConfig};

/// What two configurations of a pipeline differ in, by the names of the settings.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// What takes effect at once.
    pub live: Vec<String>,
    /// What needs a restart.
    pub restart: Vec<String>,
}

/// Compares what runs with what is to run. Secrets don't show; those that can be changed are taken
/// over whether they differ or not. `takes` says whether the sink can take the new mode.
pub fn compare(now: &PipelineConfig, new: &PipelineConfig, takes: bool) -> Changes {
    let tree = |config: &PipelineConfig| serde_json::to_value(config).unwrap_or_default();
    let mut paths = Vec::new();
    differences(&tree(now), &tree(new), &mut String::new(), &mut paths);
    let letters = matches!(
        (&now.delivery.dead_letter, &new.delivery.dead_letter),
        (
            Some(DeadLetterConfig::Http(_)),
            Some(DeadLetterConfig::Http(_))
        )
    );
    let mut changes = Changes::default();
    for path in paths {
        let live = match path.as_str() {
            "sink.http.mode" => takes,
            path if path.starts_with("sink.http.") => true,
            path if path.starts_with("delivery.dead_letter.") => letters,
            path => LIVE.iter().any(|it| {
                path.strip_prefix(it)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            }),
        };
        let list = if live {
            &mut changes.live
        } else {
            &mut changes.restart
        };
        list.push(path);
    }
    changes
}

/// Beside the sink.
const LIVE: [&str; 6] = [
    "delivery.budgets",
    "delivery.batch",
    "delivery.retry",
    "delivery.on_exhausted",
    "source.rocketmq.credentials",
    "source.mns.credentials",
];

/// What runs after a change: the new settings where they take effect at once, else the old ones.
pub fn merged(now: &PipelineConfig, new: &PipelineConfig, takes: bool) -> PipelineConfig {
    let mut merged = now.clone();
    merged.sink.http.clone_from(&new.sink.http);
    if !takes {
        merged.sink.http.mode = now.sink.http.mode;
    }
    let (to, from) = (&mut merged.delivery, &new.delivery);
    (to.budgets, to.batch) = (from.budgets, from.batch);
    to.retry.clone_from(&from.retry);
    to.on_exhausted = from.on_exhausted;
    if let (Some(DeadLetterConfig::Http(to)), Some(DeadLetterConfig::Http(from))) =
        (&mut to.dead_letter, &from.dead_letter)
    {
        to.clone_from(from);
    }
    let (to, from) = (&mut merged.source, &new.source);
    if let (Some(to), Some(from)) = (&mut to.rocketmq, &from.rocketmq)
        && to.credentials.is_some()
        && from.credentials.is_some()
    {
        to.credentials.clone_from(&from.credentials);
    }
    if let (Some(to), Some(from)) = (&mut to.mns, &from.mns)
        && to.credentials.is_some()
        && from.credentials.is_some()
    {
        to.credentials.clone_from(&from.credentials);
    }
    merged
}

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
    fn each_setting_is_live_or_needs_a_restart() {
        let now = pipeline("", "", "");
        for (delivery, sink, source, live, restart) in [
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
            (
                "dead_letter: {file: /tmp/x}",
                "",
                "",
                "",
                "delivery.dead_letter",
            ),
            ("", ", idle_timeout: 5s", "", "sink.http.idle_timeout", ""),
            ("", ", mode: structured", "", "sink.http.mode", ""),
            ("", ", mode: batched", "", "", "sink.http.mode"),
            (
                "",
                "}, replies_to: {http: {url: \"http://b/\"}",
                "",
                "",
                "sink.replies_to",
            ),
            ("", "", ", start: latest", "", "source.kafka.start"),
        ] {
            let new = pipeline(delivery, sink, source);
            let takes = !sink.contains("batched");
            let changes = compare(&now, &new, takes);
            let list = |text: &str| Vec::from_iter((!text.is_empty()).then(|| text.to_owned()));
            let expected = Changes {
                live: list(live),
                restart: list(restart),
            };
            assert_eq!(changes, expected);
            // What runs then differs from what is wanted in what needs a restart, and in no more.
            let left = compare(&merged(&now, &new, takes), &new, takes);
            assert_eq!((left.live, left.restart), (Vec::new(), list(restart)));
        }
    }
}
