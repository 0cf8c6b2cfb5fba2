//! gRPC, as much of it as a server needs that has to do it wrong at times.

use std::{io, time::Duration};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    HeaderMap, Response,
    body::{Frame, Incoming},
    header::{CONTENT_TYPE, HeaderValue},
};

/// An answer's body. An error in it breaks the stream.
pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;
pub(super) type Part = io::Result<Frame<Bytes>>;

/// A message with its length in front.
pub(super) fn frame(message: &[u8]) -> Part {
    let mut bytes = BytesMut::with_capacity(message.len() + 5);
    bytes.put_u8(0);
    bytes.put_u32(message.len().try_into().unwrap());
    bytes.put_slice(message);
    Ok(Frame::data(bytes.freeze()))
}

/// The end of an answer.
pub(super) fn trailers(code: u32, text: &str) -> Part {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", code.into());
    if !text.is_empty() {
        let text = text.replace('%', "%25").replace('\n', "%0A");
        trailers.insert("grpc-message", HeaderValue::from_str(&text).unwrap());
    }
    Ok(Frame::trailers(trailers))
}

/// What breaks a stream.
pub(super) fn broken() -> Part {
    Err(io::Error::other("broken on demand"))
}

/// An answer of these parts.
pub(super) fn response(parts: impl Stream<Item = Part> + Send + 'static) -> Response<Body> {
    let mut response = Response::new(BodyExt::boxed_unsync(StreamBody::new(parts)));
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(CONTENT_TYPE, grpc);
    response
}

/// An answer of these messages, in order.
pub(super) fn messages(messages: &[Bytes]) -> Response<Body> {
    let mut parts: Vec<_> = messages.iter().map(|it| frame(it)).collect();
    parts.push(trailers(0, ""));
    response(stream::iter(parts))
}

/// No answer, but why.
pub(super) fn refused(code: u32, text: &str) -> Response<Body> {
    response(stream::iter([trailers(code, text)]))
}

/// Not even that.
pub(super) fn html(status: u16) -> Response<Body> {
    let page = Bytes::from_static(b"<html>\n<body>Bad Gateway</body>\n</html>\n");
    let mut response = response(stream::iter([Ok(Frame::data(page))]));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap();
    let html = HeaderValue::from_static("text/html");
    response.headers_mut().insert(CONTENT_TYPE, html);
    response
}

/// Reads the next message of a request.
pub(super) async fn next(body: &mut Incoming, left: &mut BytesMut) -> Option<Bytes> {
    loop {
        if left.len() >= 5 {
            let length = u32::from_be_bytes(left[1..5].try_into().unwrap()) as usize;
            if left.len() >= 5 + length {
                left.advance(5);
                return Some(left.split_to(length).freeze());
            }
        }
        let frame = body.frame().await?.ok()?;
        if let Some(data) = frame.data_ref() {
            left.extend_from_slice(data);
        }
    }
}

/// The time that a client gives a call.
pub(super) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (number, unit) = text.split_at(text.len() - 1);
    let number: u64 = number.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        _ => Duration::from_nanos(number),
    })
}

/// An answer that breaks behind its first messages, so many of them.
pub(super) fn breaks_after(messages: &[Bytes], count: usize) -> Response<Body> {
    let parts = messages.iter().take(count).map(|it| frame(it));
    let parts: Vec<_> = parts.collect();
    // What was written before has to be on its way, or it is lost with the stream.
    let break_later = stream::once(async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        broken()
    });
    response(stream::iter(parts).chain(break_later))
}
