//! Reading no more of a response than is needed.

use std::{pin::pin, time::Duration};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::time::timeout;

use super::{ResponseBody, client::describe};

/// A body is read to its end, so that the connection can be used again, unless it is larger than
/// this.
const DRAIN: usize = 64 * 1024;

/// Nor if it takes longer than this: the status has said all that decides.
const PATIENCE: Duration = Duration::from_secs(1);

/// Reads a body for the connection's sake and returns its beginning, at most `keep` bytes. Bounded
/// in memory and time; a body that breaks off ends where it does.
pub(super) async fn read(body: ResponseBody, keep: usize) -> Bytes {
    if body.is_end_stream() {
        return Bytes::new();
    }
    let mut kept = BytesMut::new();
    let drain = async {
        let mut body = pin!(body);
        let mut read = 0;
        while read <= DRAIN
            && let Some(Ok(frame)) = body.frame().await
        {
            let Some(data) = frame.data_ref() else {
                continue;
            };
            read += data.len();
            let wanted = data.len().min(keep - kept.len());
            kept.extend_from_slice(&data[..wanted]);
        }
    };
    // Past its patience, dropping the body closes the connection.
    let _in_time = timeout(PATIENCE, drain).await.is_ok();
    kept.freeze()
}

/// Why a body was not read to its end.
#[derive(Debug)]
pub(super) enum Cut {
    /// It is longer than wanted; this is how it begins.
    TooLong(Bytes),
    /// It broke off.
    BrokenOff(String),
}

/// Reads a body to its end, if it has at most `most` bytes. Not bounded in time: that is the
/// attempt's timeout.
///
/// Does not begin to read one that announces to be too long. What is left of such a body is not
/// read, which closes the connection.
pub(super) async fn read_whole(
    body: ResponseBody,
    most: usize,
    announced: usize,
) -> Result<Bytes, Cut> {
    let mut body = pin!(body);
    let mut whole: Option<BytesMut> = None;
    let mut only = Bytes::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Cut::BrokenOff(describe(&*error)))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let read = whole.as_ref().map_or(only.len(), BytesMut::len);
        if read + data.len() > most || announced > most {
            let beginning = match whole {
                Some(whole) => whole.freeze(),
                None if only.is_empty() => data,
                None => only,
            };
            return Err(Cut::TooLong(beginning));
        }
        // Most bodies come in one frame, which then need not be copied.
        if let Some(whole) = &mut whole {
            whole.extend_from_slice(&data);
        } else if only.is_empty() {
            only = data;
        } else {
            let mut first = BytesMut::with_capacity(announced.max(read + data.len()));
            first.extend_from_slice(&only);
            first.extend_from_slice(&data);
            whole = Some(first);
        }
    }
    Ok(whole.map_or(only, BytesMut::freeze))
}

/// What the head said counts, so the body is waited for no longer than this.
const MOMENT: Duration = Duration::from_millis(20);

/// Reads a body for nothing but the connection's sake. What does not come at once is read on aside:
/// the attempt must not run out of its time for it, nor its lane wait.
pub(super) async fn drain(body: ResponseBody) {
    if body.is_end_stream() {
        return;
    }
    let mut rest = Box::pin(read(body, 0));
    if timeout(MOMENT, &mut rest).await.is_err() {
        tokio::spawn(rest);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn frame(byte: u8, len: usize) -> Result<Frame<Bytes>, Infallible> {
        Ok(Frame::data(vec![byte; len].into()))
    }

    #[tokio::test]
    async fn keeps_the_beginning() {
        let read_all =
            |text: &'static str| read(ResponseBody::new(Full::new(Bytes::from(text))), 4);
        assert_eq!(read_all("").await, "");
        assert_eq!(read_all("abc").await, "abc");
        assert_eq!(read_all("abcdef").await, "abcd");
        let frames = stream::iter([frame(b'a', 3), frame(b'b', 3), frame(b'c', 3)]);
        assert_eq!(
            read(ResponseBody::new(StreamBody::new(frames)), 5).await,
            "aaabb"
        );
    }

    #[tokio::test]
    async fn gives_up_an_endless_body() {
        let endless = stream::repeat_with(|| frame(b'x', 1000));
        assert_eq!(
            read(ResponseBody::new(StreamBody::new(endless)), 1024)
                .await
                .len(),
            1024
        );
    }

    #[tokio::test(start_paused = true)]
    async fn gives_up_a_body_that_does_not_come() {
        let stalled = stream::unfold(0, |at| async move {
            if at == 1 {
                std::future::pending::<()>().await;
            }
            Some((frame(b'x', 3), at + 1))
        });
        assert_eq!(
            read(ResponseBody::new(StreamBody::new(stalled)), 1024).await,
            "xxx"
        );
    }

    fn run<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        runtime.unwrap().block_on(work)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_whole_body_is_whole_or_not_there(
            parts in vec(vec(any::<u8>(), 0..40), 0..12),
            breaks_off: bool,
            announced: bool,
            most in 0..300_usize,
        ) {
            let whole = parts.concat();
            let parts = parts.into_iter().map(|part| Ok(Frame::data(Bytes::from(part))));
            let end = breaks_off.then(|| Err(std::io::Error::other("reset")));
            let body = ResponseBody::new(StreamBody::new(stream::iter(parts.chain(end))));
            let announced = if announced { whole.len() } else { 0 };
            match run(read_whole(body, most, announced)) {
                Ok(read) => {
                    prop_assert!(!breaks_off && read.len() <= most);
                    prop_assert_eq!(&read[..], &whole[..]);
                }
                Err(Cut::BrokenOff(why)) => prop_assert!(breaks_off && why.contains("reset")),
                Err(Cut::TooLong(beginning)) => {
                    prop_assert!(whole.len() > most && whole.starts_with(&beginning));
                }
            }
        }

        #[test]
        fn any_body_gives_its_beginning(
            parts in vec(vec(any::<u8>(), 0..40), 0..12),
            breaks_off: bool,
            keep in 0..100_usize,
        ) {
            let whole = parts.concat();
            let parts = parts.into_iter().map(|part| Ok(Frame::data(Bytes::from(part))));
            let end = breaks_off.then(|| Err(std::io::Error::other("reset")));
            let body = StreamBody::new(stream::iter(parts.chain(end)));
            let kept = run(read(ResponseBody::new(body), keep));
            prop_assert_eq!(&kept[..], &whole[..keep.min(whole.len())]);
        }
    }
}
