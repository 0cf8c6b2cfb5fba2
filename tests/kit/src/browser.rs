//! A headless Chromium, driven over the DevTools protocol.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::{eventually, is_skipped};

const TIMEOUT: Duration = Duration::from_secs(30);

/// A browser with one page. Closed when dropped, and also when the process ends in whatever way.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    // The protocol over a pair of pipes (file descriptors 3 and 4 of the browser), messages
    // separated by zero bytes: no port, no web socket, and the browser ends when the pipe does.
    input: ChildStdin,
    messages: Receiver<Value>,
    session: Option<String>,
    number: u64,
    _profile: TempDir,
}

impl Browser {
    /// Starts Chromium. Panics when there is none, with what to install; `None` if
    /// `EVENTLANE_SKIP_REAL` is 1, after a line that says so.
    pub fn start_or_skip() -> Option<Self> {
        (!is_skipped("browser")).then(Self::start)
    }

    fn start() -> Self {
        let chromium = ["chromium", "chromium-browser", "google-chrome"]
            .into_iter()
            .find(|name| is_installed(name));
        let chromium =
            chromium.expect(
            "there is no Chromium; install it with: apt-get install chromium; EVENTLANE_SKIP_REAL=1 leaves the test out",
        );
        let profile = tempfile::tempdir().expect("a directory for the browser's profile");
        let mut child = Command::new("sh")
            .args([
                "-c",
                r#"exec "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#,
                "sh",
                chromium,
            ])
            .args([
                "--headless",
                "--remote-debugging-pipe",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
            ])
            .args([
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
            ])
            .args([
                "--disable-sync",
                "--disable-dev-shm-usage",
                "--window-size=1280,900",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh can be run");
        let input = child.stdin.take().expect("standard input is piped");
        let output = BufReader::new(child.stdout.take().expect("standard output is piped"));
        let (sender, messages) = channel();
        thread::spawn(move || {
            for message in output.split(0).map_while(Result::ok) {
                if sender
                    .send(serde_json::from_slice(&message).expect("the browser speaks JSON"))
                    .is_err()
                {
                    break;
                }
            }
        });
        let mut browser = Self {
            child,
            input,
            messages,
            session: None,
            number: 0,
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let target = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", &target);
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        browser
    }

    /// Goes to `url` and waits until the document has been read.
    pub fn open(&mut self, url: &str) {
        let opened = self.call("Page.navigate", &json!({ "url": url }));
        assert_eq!(opened["errorText"], Value::Null, "open {url}");
        self.wait_for(
            "document.readyState !== 'loading' && location.href !== 'about:blank'",
            TIMEOUT,
        );
    }

    /// Makes the page that wide and high.
    pub fn resize(&mut self, width: u32, height: u32) {
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", &size);
    }

    /// Evaluates an expression in the page, awaits it if it is a promise, and returns its value.
    /// Panics when it throws.
    pub fn eval(&mut self, expression: &str) -> Value {
        let parameters =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut answer = self.call("Runtime.evaluate", &parameters);
        assert_eq!(answer["exceptionDetails"], Value::Null, "{expression}");
        answer["result"]["value"].take()
    }

    /// Waits until an expression is true; panics after `limit`.
    pub fn wait_for(&mut self, condition: &str, limit: Duration) {
        eventually(limit, condition, || {
            (self.eval(&format!("!!({condition})")) == true).then_some(())
        });
    }

    /// Clicks with the mouse on the middle of the first element that a CSS selector finds.
    pub fn click(&mut self, selector: &str) {
        let selector = Value::from(selector);
        let middle = self.eval(&format!(
            "(() => {{ const element = document.querySelector({selector});
                element.scrollIntoView({{ block: 'center', behavior: 'instant' }});
                const box = element.getBoundingClientRect();
                return [box.x + box.width / 2, box.y + box.height / 2]; }})()"
        ));
        for kind in ["mousePressed", "mouseReleased"] {
            let (x, y) = (&middle[0], &middle[1]);
            let parameters =
                json!({ "type": kind, "x": x, "y": y, "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", &parameters);
        }
    }

    /// Writes a picture of the page to a PNG file.
    pub fn screenshot(&mut self, path: &Path) {
        let picture = self.call("Page.captureScreenshot", &json!({ "format": "png" }));
        let bytes = STANDARD
            .decode(picture["data"].as_str().expect("a picture"))
            .expect("base64");
        std::fs::write(path, bytes)
            .unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
    }

    fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.number += 1;
        let mut request = json!({ "id": self.number, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            request["sessionId"] = session.as_str().into();
        }
        let sent = self.input.write_all(format!("{request}\0").as_bytes());
        sent.unwrap_or_else(|error| panic!("{method}: the browser has ended ({error})"));
        let deadline = Instant::now() + TIMEOUT;
        loop {
            match self
                .messages
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(mut answer) if answer["id"] == self.number => {
                    assert_eq!(answer["error"], Value::Null, "{method}");
                    return answer["result"].take();
                }
                // Events, which nobody has asked for.
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => panic!("{method}: no answer within {TIMEOUT:?}"),
                Err(RecvTimeoutError::Disconnected) => panic!("{method}: the browser has ended"),
            }
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn is_installed(program: &str) -> bool {
    let directories = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&directories).any(|directory| directory.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clicks_and_reads_and_takes_a_picture() {
        let Some(mut browser) = Browser::start_or_skip() else {
            return;
        };
        browser.open(
            "data:text/html,<p style='height:3000px'></p><button onclick=\"setTimeout(() => this.id = 'done', 50)\">x</button>",
        );
        browser.click("button");
        browser.wait_for("document.querySelector('#done')", Duration::from_secs(5));
        assert_eq!(
            browser.eval("Promise.resolve([1, document.querySelectorAll('button').length])"),
            json!([1, 1])
        );
        let picture = tempfile::tempdir().unwrap();
        let path = picture.path().join("page.png");
        browser.screenshot(&path);
        assert!(std::fs::read(path).unwrap().starts_with(b"\x89PNG"));
    }
}
