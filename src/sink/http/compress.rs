//! Bodies in gzip.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, header::CONTENT_ENCODING};

use super::config::{Gzip, mistake};
use crate::Result;

/// Above this, compressing takes long enough to hold up other tasks of the thread.
const ASIDE: usize = 64 * 1024;

/// # Errors
/// `Config` for a level that gzip does not have.
pub(super) fn check(gzip: Gzip) -> Result<Gzip> {
    if !(1..=9).contains(&gzip.level) {
        return Err(mistake(format!(
            "`gzip.level` is {}: choose 1 (fast) to 9 (small)",
            gzip.level
        )));
    }
    Ok(gzip)
}

/// Compresses the body and says so in the headers, unless it is too small to gain by it.
pub(super) async fn compress(gzip: Gzip, body: Bytes, headers: &mut HeaderMap) -> Bytes {
    if body.len() < gzip.min_bytes {
        return body;
    }
    let compressed = if body.len() > ASIDE {
        let body = body.clone();
        let task = tokio::task::spawn_blocking(move || encode(gzip, &body));
        task.await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
    } else {
        encode(gzip, &body)
    };
    match compressed {
        Ok(compressed) if compressed.len() < body.len() => {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            compressed.into()
        }
        _ => body,
    }
}

/// One gzip member (RFC 1952).
fn encode(gzip: Gzip, body: &[u8]) -> io::Result<Vec<u8>> {
    let out = Vec::with_capacity(body.len() / 2);
    let mut encoder = GzEncoder::new(out, Compression::new(gzip.level));
    encoder.write_all(body)?;
    encoder.finish()
}
