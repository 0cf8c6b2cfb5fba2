//! The other commands: replay, display, schema, completions, and the exit codes of mistakes.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::Output,
    time::Duration,
};

use eventlane_testkit::{
    CheckingSink, Process,
    sink::{Answer, Faults},
};

use crate::support::{Files, LIMIT, broker, command, logged, pipeline, run};

fn output<'a>(arguments: impl IntoIterator<Item = &'a str>) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command(arguments).output().expect("the program runs");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// A file of letters as a pipeline leaves it.
fn letters(files: &Files, keys: &[&str], each: u64) -> std::path::PathBuf {
    let topic = broker().topic(1);
    let sink = CheckingSink::start(Faults {
        answer: Answer::Status(400),
        ..Faults::default()
    });
    broker().produce(&topic, keys, 0..each);
    let file = files.path("dead.jsonl");
    let delivery = format!(
        "dead_letter: {{file: {}}}, idle_timeout: 1s",
        file.display()
    );
    let config = format!(
        "pipelines:\n{}",
        pipeline("orders", &topic, &sink.url(), &delivery)
    );
    let process = run(files, &config, &["--listen", "127.0.0.1:0"]);
    let audit = logged(&process, &["eventlane::audit", "dead-letter"]);
    for word in [
        &*topic,
        "status_400",
        "position=",
        &file.display().to_string(),
    ] {
        assert!(audit.contains(word), "{word} in {audit}");
    }
    let (status, log) = process.wait(LIMIT);
    assert_eq!(status.code(), Some(0), "{log}");
    assert_eq!(
        fs::read_to_string(&file).unwrap().lines().count() as u64,
        each * keys.len() as u64
    );
    file
}

fn replay(file: &Path, sink: &CheckingSink, flags: &[&str]) -> Process {
    let mut command = command(["replay", "--log-format", "text", "--to", &sink.url()]);
    command.arg(file).args(flags);
    Process::spawn(command)
}

#[test]
fn a_replay_goes_on_where_it_was_killed() {
    let files = Files::new();
    let file = letters(&files, &["a", "b"], 30);
    let sink = CheckingSink::start(Faults {
        delay: Duration::from_millis(20)..Duration::from_millis(21),
        next: [Answer::Status(503), Answer::Reset].into(),
        ..Faults::default()
    });
    let process = replay(&file, &sink, &[]);
    sink.wait(LIMIT, |report| report.distinct >= 10);
    process.signal("KILL");
    drop(process.wait(LIMIT));
    let process = replay(&file, &sink, &["--rate", "1000"]);
    let (status, log) = process.wait(LIMIT);
    assert_eq!(status.code(), Some(0), "{log}");
    let report = sink.report();
    report.assert_in_order(1);
    assert_eq!(report.distinct, 60);
    assert!(
        report.duplicates <= 1,
        "at most the one on its way: {report:#?}"
    );

    // All is done: once more sends nothing, unless it is asked for.
    assert_eq!(replay(&file, &sink, &[]).wait(LIMIT).0.code(), Some(0));
    assert_eq!(sink.report().attempts, report.attempts);
    assert_eq!(
        replay(&file, &sink, &["--again"]).wait(LIMIT).0.code(),
        Some(0)
    );
    assert_eq!(sink.report().attempts, report.attempts + 60);
}

#[test]
fn a_replay_stops_at_what_is_rejected() {
    let files = Files::new();
    let file = letters(&files, &["a", "b"], 3);
    let sink = CheckingSink::start(Faults::default());
    sink.set(|faults| {
        faults.keys.insert("b".to_owned(), Answer::Status(422));
    });
    let (status, log) = replay(&file, &sink, &[]).wait(LIMIT);
    assert!(status.code() == Some(1) && log.contains("422"), "{log}");
    let (status, log) = replay(&file, &sink, &["--skip-rejected"]).wait(LIMIT);
    assert_eq!(status.code(), Some(3), "{log}");
    assert_eq!(sink.report().distinct, 3);
    assert_eq!(sink.report().overtaken, 0);
    assert_eq!(
        output(["replay", "/nowhere", "--to", &sink.url()]).0,
        Some(1)
    );
}

#[test]
fn the_display_shows_what_it_is_sent() {
    let mut display = command(["display", "--listen", "127.0.0.1:0", "--status", "202"]);
    display.args(["--log-format", "text"]);
    let process = Process::spawn(display);
    let line = logged(&process, &["are shown there"]);
    let address = line
        .split("http://")
        .nth(1)
        .unwrap()
        .split('/')
        .next()
        .unwrap()
        .to_owned();
    let ask = |request: &str, until: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let (mut answer, mut part) = (String::new(), [0; 4096]);
        while !answer.contains(until) {
            let read = stream.read(&mut part).unwrap();
            assert!(read > 0, "{until} in {answer}");
            answer.push_str(&String::from_utf8_lossy(&part[..read]));
        }
        answer
    };
    let event = "POST /orders HTTP/1.1\r\nhost: x\r\nce-specversion: 1.0\r\nce-id: 42\r\n\
        ce-source: /test\r\nce-type: test.shown\r\ncontent-type: application/json\r\n\
        content-length: 12\r\n\r\n{\"a\":\"<b>\"}\n";
    assert!(ask(event, "\r\n\r\n").starts_with("HTTP/1.1 202"));
    let nothing = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi";
    assert!(ask(nothing, "not a CloudEvent").starts_with("HTTP/1.1 400"));
    let page = ask("GET / HTTP/1.1\r\nhost: x\r\n\r\n", "</script>");
    assert!(page.contains("content-security-policy: default-src 'none'"));
    let shown = ask("GET /shown HTTP/1.1\r\nhost: x\r\n\r\n", "test.shown");
    assert!(shown.contains("\"id\":\"42\""), "{shown}");
    process.signal("TERM");
    assert_eq!(process.wait(LIMIT).0.code(), Some(0));
}

#[test]
fn mistakes_end_with_2() {
    let files = Files::new();
    let file = files
        .write("adapter.yaml", "pipelines: {a: {}}")
        .display()
        .to_string();
    for command in ["run", "check", "explain"] {
        let (code, stdout, stderr) = output([command, &file]);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
        assert!(stderr.contains("adapter.yaml:1:13"), "{stderr}");
        assert_eq!(output([command, "/nowhere.yaml"]).0, Some(2));
        assert_eq!(output([command]).0, Some(2));
    }
    assert_eq!(output(["replay", &file, "--to", "ftp://x/"]).0, Some(2));
}

#[test]
fn completions_are_written_for_each_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, script, _) = output(["completions", shell]);
        assert!(
            code == Some(0) && script.contains("skip-rejected"),
            "{shell}"
        );
    }
}
