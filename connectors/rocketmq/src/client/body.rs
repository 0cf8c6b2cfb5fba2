//! Compressed bodies.
//!
//! Servers say of every compressed body that it is gzip, but producers of the older protocol use
//! zlib, and may use others: the first bytes tell.

use std::io::Read;

use bytes::Bytes;
use flate2::read::{GzDecoder, ZlibDecoder};

/// As much as may come out of a body: as much as a body could have that is not compressed (see
/// `LARGEST_ANSWER`), or a few bytes of each message of a receive would become gigabytes.
pub(super) const LARGEST: u64 = 16 << 20;

const GZIP: i32 = 2;

/// A body, and the compression that it still has, if it could not be taken off.
pub(super) fn decode(encoding: i32, body: Bytes, largest: u64) -> (Bytes, Option<&'static str>) {
    if encoding != GZIP || body.is_empty() {
        return (body, None);
    }
    let (name, decoded) = match &body[..] {
        [0x1f, 0x8b, ..] => ("gzip", read(GzDecoder::new(&body[..]), largest)),
        [0x78, ..] => ("deflate", read(ZlibDecoder::new(&body[..]), largest)),
        [0x04, 0x22, 0x4d, 0x18, ..] => ("lz4", None),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => ("zstd", None),
        _ => ("gzip", None),
    };
    match decoded {
        Some(decoded) => (decoded, None),
        None => (body, Some(name)),
    }
}

/// All of it; `None` if it is broken, or too much.
fn read(decoder: impl Read, largest: u64) -> Option<Bytes> {
    let mut decoded = Vec::new();
    let mut bounded = decoder.take(largest + 1);
    bounded.read_to_end(&mut decoded).ok()?;
    let fits = u64::try_from(decoded.len()).is_ok_and(|length| length <= largest);
    // What it grew by is not counted by anybody, and would be held as long as the event.
    decoded.shrink_to_fit();
    fits.then(|| decoded.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{
        Compression,
        write::{GzEncoder, ZlibEncoder},
    };
    use proptest::prelude::*;

    use super::*;

    fn gzip(data: &[u8]) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap().into()
    }

    fn zlib(data: &[u8]) -> Bytes {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap().into()
    }

    #[test]
    fn the_first_bytes_tell() {
        for compressed in [gzip(b"hello"), zlib(b"hello")] {
            let (body, left) = decode(GZIP, compressed.clone(), LARGEST);
            assert_eq!((&body[..], left), (&b"hello"[..], None));
            // What is not said to be compressed is somebody's own archive.
            for plain in [0, 1] {
                assert_eq!(
                    decode(plain, compressed.clone(), LARGEST),
                    (compressed.clone(), None)
                );
            }
        }
        for (bytes, name) in [
            (&[0x04, 0x22, 0x4d, 0x18, 1][..], "lz4"),
            (&[0x28, 0xb5, 0x2f, 0xfd, 1], "zstd"),
            (b"plain", "gzip"),
            (&[0x1f, 0x8b, 1, 2, 3], "gzip"),
            (&[0x78, 0x9c, 9, 9], "deflate"),
        ] {
            let bytes = Bytes::from_static(bytes);
            assert_eq!(decode(GZIP, bytes.clone(), LARGEST), (bytes, Some(name)));
        }
    }

    #[test]
    fn a_bomb_stays_packed() {
        const MOST: u64 = 1 << 20;
        for (pack, name) in [(gzip as fn(&[u8]) -> Bytes, "gzip"), (zlib, "deflate")] {
            let bomb = pack(&vec![0; 10 << 20]);
            assert!(bomb.len() < 20_000);
            let (body, left) = decode(GZIP, bomb.clone(), MOST);
            assert_eq!((body, left), (bomb.clone(), Some(name)));
            // One in a bomb is only unpacked once.
            assert_eq!(decode(GZIP, pack(&bomb), MOST), (bomb, None));
        }
        let exact = gzip(&[7; 1000]);
        assert_eq!(decode(GZIP, exact.clone(), 1000).1, None);
        assert_eq!(decode(GZIP, exact, 999).1, Some("gzip"));
    }

    proptest! {
        #[test]
        fn nothing_panics(encoding in -1..4_i32, body: Vec<u8>) {
            decode(encoding, body.into(), 1 << 16);
        }

        #[test]
        fn what_was_packed_comes_out(data: Vec<u8>) {
            prop_assert_eq!(&decode(GZIP, gzip(&data), LARGEST).0[..], &data[..]);
        }
    }
}
