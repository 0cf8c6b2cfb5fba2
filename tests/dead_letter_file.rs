//! Dead letters in a real file.

use std::{fs, path::Path, process::Command, sync::Arc};

use eventlane::{
    ErrorKind, Event, Result,
    event::{Data, json},
    sink::{DeadLetter, DeadLetterSink, Failure, FileDeadLetter},
};
use proptest::{collection::vec, prelude::*};

fn letter(id: usize) -> DeadLetter {
    let event = Event::builder()
        .id(id.to_string())
        .source("/test")
        .ty("test")
        .data_content_type("application/json")
        .data(Data::json(format!("{{\n\t\"n\": {id}.10\n}}\n")).unwrap())
        .build()
        .unwrap();
    DeadLetter::new(event, Failure::new("timeout", "too slow"), "http://a")
}

fn letters(ids: std::ops::Range<usize>) -> Vec<DeadLetter> {
    ids.map(letter).collect()
}

async fn keep(sink: &FileDeadLetter, ids: std::ops::Range<usize>) {
    for result in sink.keep(&letters(ids)).await {
        result.unwrap();
    }
}

fn ids(path: &Path) -> Vec<usize> {
    FileDeadLetter::read(path)
        .unwrap()
        .map(|event| event.unwrap().id().parse().unwrap())
        .collect()
}

fn append(path: &Path, bytes: &[u8]) {
    let mut content = fs::read(path).unwrap_or_default();
    content.extend_from_slice(bytes);
    fs::write(path, content).unwrap();
}

#[tokio::test]
async fn letters_are_read_as_they_were_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dead.jsonl");
    let sink = FileDeadLetter::open(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
    keep(&sink, 0..3).await;
    keep(&sink, 3..3).await;
    drop(sink);
    keep(&FileDeadLetter::open(&path).unwrap(), 3..100).await;

    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 100);
    assert_eq!(ids(&path), (0..100).collect::<Vec<_>>());
    for (id, event) in FileDeadLetter::read(&path).unwrap().enumerate() {
        let event = event.unwrap();
        // Line breaks and all.
        assert_eq!(event.data(), letter(id).event.data());
        assert_eq!(
            event.extension("eventlanereason").unwrap().as_str(),
            "timeout"
        );
        assert_eq!(
            event.extension("knativeerrordest").unwrap().as_str(),
            "http://a"
        );
    }
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_can_read_it() {
    use std::os::unix::fs::PermissionsExt;

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dead.jsonl");
    let _sink = FileDeadLetter::open(&path).unwrap();
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[tokio::test]
async fn a_torn_line_is_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dead.jsonl");
    keep(&FileDeadLetter::open(&path).unwrap(), 0..2).await;
    let whole = fs::read(&path).unwrap();
    let mut torn = Vec::new();
    json::write_line(&letter(2).to_event(), &mut torn);
    // Wherever it broke off, and however long the line is.
    let long = format!("{{\"data\":\"{}", "x".repeat(200_000));
    for torn in [
        &torn[..1],
        &torn[..torn.len() / 2],
        &torn[..torn.len() - 1],
        long.as_bytes(),
    ] {
        fs::write(&path, [&whole[..], torn].concat()).unwrap();
        let unread: Vec<_> = FileDeadLetter::read(&path)
            .unwrap()
            .map(|event| event.is_ok())
            .collect();
        assert_eq!(unread, [true, true, false]);
        let sink = FileDeadLetter::open(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), whole);
        drop(sink);
    }
    keep(&FileDeadLetter::open(&path).unwrap(), 2..3).await;
    assert_eq!(ids(&path), [0, 1, 2]);

    // Nothing but a torn line.
    fs::write(&path, "{\"specv").unwrap();
    keep(&FileDeadLetter::open(&path).unwrap(), 7..8).await;
    assert_eq!(ids(&path), [7]);
}

#[tokio::test]
async fn a_whole_line_without_its_line_break_gets_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dead.jsonl");
    let mut line = Vec::new();
    json::write_line(&letter(0).to_event(), &mut line);
    fs::write(&path, &line).unwrap();
    assert_eq!(ids(&path), [0]);
    keep(&FileDeadLetter::open(&path).unwrap(), 1..2).await;
    assert_eq!(ids(&path), [0, 1]);
}

#[tokio::test]
async fn what_is_no_event_is_an_error_that_names_the_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dead.jsonl");
    keep(&FileDeadLetter::open(&path).unwrap(), 0..1).await;
    append(&path, b"\n{\"id\":\"x\"}\n\xff\n");
    keep(&FileDeadLetter::open(&path).unwrap(), 1..2).await;
    let read: Vec<Result<Event>> = FileDeadLetter::read(&path).unwrap().collect();
    assert_eq!(read.len(), 4);
    assert!(read[0].is_ok() && read[3].is_ok());
    for (at, line) in [(1, 3), (2, 4)] {
        let error = read[at].as_ref().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected);
        assert!(
            error.to_string().contains(&format!("line: {line})")),
            "{error}"
        );
    }
}

#[test]
fn what_can_be_no_file_of_dead_letters_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let other = directory.path().join("notes.txt");
    fs::write(&other, "remember the milk").unwrap();
    let json = directory.path().join("config.json");
    fs::write(&json, "{\n  \"brokers\": []\n}").unwrap();
    let mut paths = vec![
        (json.clone(), "something else"),
        (other.clone(), "something else"),
        (directory.path().to_owned(), "not a regular file"),
        (
            directory.path().join("none/dead.jsonl"),
            "a directory that exists",
        ),
        (other.join("dead.jsonl"), "a directory that exists"),
    ];
    if cfg!(target_os = "linux") {
        paths.push(("/dev/full".into(), "not a regular file"));
        // Not even root can create a file there.
        paths.push(("/proc/dead.jsonl".into(), "can be written to"));
    }
    for (path, hint) in paths {
        let error = FileDeadLetter::open(&path).unwrap_err();
        let text = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(
            text.contains(hint) && text.contains(&*path.to_string_lossy()),
            "{text}"
        );
        assert!(!text.contains('\n'));
    }
    assert_eq!(fs::read_to_string(&other).unwrap(), "remember the milk");
    assert_eq!(
        fs::read_to_string(&json).unwrap(),
        "{\n  \"brokers\": []\n}"
    );
    assert_eq!(
        FileDeadLetter::read(directory.path().join("none"))
            .unwrap_err()
            .kind(),
        ErrorKind::Config
    );
}

#[tokio::test]
async fn there_is_one_writer() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dead.jsonl");
    let sink = FileDeadLetter::open(&path).unwrap();
    let error = FileDeadLetter::open(&path).unwrap_err();
    assert!(
        error.to_string().contains("somebody else writes to it"),
        "{error}"
    );
    keep(&sink, 0..1).await;
    drop(sink);
    keep(&FileDeadLetter::open(&path).unwrap(), 1..2).await;
    assert_eq!(ids(&path), [0, 1]);
}

#[cfg(unix)]
#[tokio::test]
async fn letters_follow_the_path() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dead.jsonl");
    let sink = FileDeadLetter::open(&path).unwrap();
    keep(&sink, 0..1).await;
    // Rotated.
    let moved = directory.path().join("dead.1");
    fs::rename(&path, &moved).unwrap();
    keep(&sink, 1..2).await;
    assert_eq!((ids(&moved), ids(&path)), (vec![0], vec![1]));
    // Replayed and emptied in place.
    fs::write(&path, "").unwrap();
    keep(&sink, 2..3).await;
    assert_eq!(ids(&path), [2]);
    // Replaced by another that ends in the middle of a line.
    fs::remove_file(&path).unwrap();
    fs::copy(&moved, &path).unwrap();
    append(&path, b"{\"spec");
    keep(&sink, 3..4).await;
    assert_eq!(ids(&path), [0, 3]);
    // Taken away with its directory, and given back.
    fs::rename(directory.path(), directory.path().with_extension("away")).unwrap();
    let results = sink.keep(&letters(4..6)).await;
    for result in &results {
        let error = result.as_ref().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("dead.jsonl"), "{error}");
    }
    assert_eq!(results.len(), 2);
    fs::rename(directory.path().with_extension("away"), directory.path()).unwrap();
    keep(&sink, 4..6).await;
    assert_eq!(ids(&path), [0, 3, 4, 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_side_by_side_and_dropped_ones_leave_whole_lines() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dead.jsonl");
    let sink = Arc::new(FileDeadLetter::open(&path).unwrap());
    let calls = (0..20).map(|call| {
        let sink = Arc::clone(&sink);
        tokio::spawn(async move { keep(&sink, call * 10..call * 10 + 10).await })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
    // Polled once, so that the work has begun, and dropped.
    let dropped = letters(1000..1010);
    let mut call = Box::pin(sink.keep(&dropped));
    assert!(futures_util::poll!(call.as_mut()).is_pending());
    drop(call);
    keep(&sink, 2000..2001).await;
    let ids = ids(&path);
    assert_eq!(ids.last(), Some(&2000));
    for call in 0..20 {
        let first = ids.iter().position(|id| *id == call * 10).unwrap();
        assert_eq!(
            ids[first..first + 10],
            (call * 10..call * 10 + 10).collect::<Vec<_>>()
        );
    }
}

/// A file that may not grow further stands for a disk that is full: both make writes short, then
/// fail.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_whole_lines() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dead.jsonl");
    let child = Command::new("sh")
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 8; exec \"$0\" --exact as_long_as_there_is_room --ignored",
        ])
        .arg(std::env::current_exe().unwrap())
        .env("DEAD_LETTERS", &path)
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success() && output.contains("1 passed"),
        "{output}"
    );
    // With room again, it goes on.
    let kept = ids(&path).len();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(keep(&FileDeadLetter::open(&path).unwrap(), kept..kept + 1));
    assert_eq!(ids(&path), (0..=kept).collect::<Vec<_>>());
}

/// The part of [`a_full_disk_leaves_whole_lines`] that runs in a process with the limit.
#[tokio::test]
#[ignore = "run by another test"]
async fn as_long_as_there_is_room() {
    let Some(path) = std::env::var_os("DEAD_LETTERS") else {
        return;
    };
    let sink = FileDeadLetter::open(&path).unwrap();
    let results = sink.keep(&letters(0..100)).await;
    let kept = results.iter().filter(|result| result.is_ok()).count();
    assert!((1..99).contains(&kept), "{kept}");
    for result in &results[kept..] {
        assert_eq!(result.as_ref().unwrap_err().kind(), ErrorKind::Unavailable);
    }
    let path = Path::new(&path);
    assert_eq!(ids(path), (0..kept).collect::<Vec<_>>());
    assert!(fs::read(path).unwrap().ends_with(b"\n"));
    assert!(
        sink.keep(&letters(kept..kept + 10))
            .await
            .iter()
            .all(Result::is_err)
    );
    assert_eq!(ids(path).len(), kept);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Read as it is, mended, and read again: a line is an event or an error, and what is mended
    /// has no torn one.
    #[test]
    fn any_file_is_read_to_its_end(
        pieces in vec(
            prop_oneof![
                Just(b"\n".to_vec()),
                Just(br#"{"specversion":"1.0","id":"0","source":"/","type":"t"}"#.to_vec()),
                Just(br#"{"specversion":"1.0","id":""#.to_vec()),
                vec(any::<u8>(), 0..40),
            ],
            0..12,
        ),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dead.jsonl");
        let content = pieces.concat();
        fs::write(&path, &content).unwrap();
        let lines = content.split(|byte| *byte == b'\n');
        let lines = lines.filter(|line| !line.trim_ascii().is_empty()).count();
        prop_assert_eq!(FileDeadLetter::read(&path).unwrap().count(), lines);
        match FileDeadLetter::open(&path) {
            Ok(_) => {
                let mended = fs::read(&path).unwrap();
                prop_assert!(mended.is_empty() || mended.ends_with(b"\n"));
            }
            Err(_) => prop_assert_eq!(fs::read(&path).unwrap(), content),
        }
    }
}
