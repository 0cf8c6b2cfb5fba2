//! What is done beyond the committed offset, kept in the commit's metadata, so that whoever gets
//! the partition next need not repeat it.
//!
//! The text is `el1:` and unpadded base64url of variable-length integers (LEB128): the committed
//! offset, then for each range how far it lies behind the end of the one before (of the offset, for
//! the first), and its length. What does not begin so, or doesn't belong to the offset it stands
//! by, was written by somebody else and is ignored.
//!
//!
//! An example: offset 7 is committed, and 9, 10, 11 are done. The range starts 2 behind 7 and has 3
//! offsets, so the integers are 7, 2, 3, the bytes `07 02 03`, and the text `el1:BwID`.
//!
//! * **Read again** it must give exactly what was written, or nothing: a range too many would lose
//!   records. Hence the offset in front: a tool that moves the group's offset and keeps the
//!   metadata makes it void.
//! * **A hint.** What does not fit is left out from the highest on, and then delivered again.
//! * **Versions.** A new format takes another prefix; a consumer that does not know it ignores it.

use std::ops::Range;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

const PREFIX: &str = "el1:";

/// The broker's default for `offset.metadata.max.bytes`. It counts UTF-16 units; ours are all
/// ASCII.
pub(crate) const LIMIT: usize = 4096;

/// Ranges above `offset`, the lowest first, as far as they fit into `limit` characters. Empty if
/// there are none.
///
/// `ranges` must rise and be disjoint.
pub(crate) fn encode(offset: u64, ranges: &[Range<u64>], limit: usize) -> String {
    // Three bytes make four characters; two or three characters more hold one or two bytes.
    let room = limit.saturating_sub(PREFIX.len());
    let room = room / 4 * 3 + [0, 0, 1, 2][room % 4];
    let mut bytes = Vec::new();
    put(offset, &mut bytes);
    let start = bytes.len();
    let mut end = offset;
    for range in ranges {
        if range.start < end || range.is_empty() {
            continue;
        }
        let mark = bytes.len();
        put(range.start - end, &mut bytes);
        put(range.end - range.start, &mut bytes);
        if bytes.len() > room {
            bytes.truncate(mark);
            break;
        }
        end = range.end;
    }
    if bytes.len() == start {
        return String::new();
    }
    let mut text = PREFIX.to_owned();
    URL_SAFE_NO_PAD.encode_string(&bytes, &mut text);
    text
}

/// The ranges in a commit's metadata; none if it isn't ours.
///
/// Never fails, whatever it is given: anybody may have written the metadata. What it returns rises,
/// is disjoint, has no empty range, and ends at `i64::MAX` at most.
pub(crate) fn decode(offset: u64, metadata: &[u8]) -> Vec<Range<u64>> {
    metadata
        .strip_prefix(PREFIX.as_bytes())
        .and_then(|text| read(offset, text))
        .unwrap_or_default()
}

/// The whole text, or `None` as soon as anything is wrong: half of it would be a guess.
fn read(offset: u64, text: &[u8]) -> Option<Vec<Range<u64>>> {
    // The broker's limit can be raised, but what we write can't.
    if text.len() > LIMIT {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let mut rest = bytes.as_slice();
    if get(&mut rest)? != offset {
        return None;
    }
    let (mut ranges, mut end) = (Vec::new(), offset);
    while !rest.is_empty() {
        let start = end.checked_add(get(&mut rest)?)?;
        let length = get(&mut rest)?;
        // Offsets are signed at the broker.
        end = start
            .checked_add(length)
            .filter(|end| *end <= i64::MAX as u64)?;
        if length == 0 {
            return None;
        }
        ranges.push(start..end);
    }
    Some(ranges)
}

/// LEB128: seven bits a byte, the lowest first, the high bit set on all but the last.
fn put(mut value: u64, to: &mut Vec<u8>) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

/// The opposite of [`put`]; `None` if it breaks off or is larger than a `u64`.
fn get(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (&byte, rest) = from.split_first()?;
        *from = rest;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return None;
        }
        value |= bits << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Both, merged, as far as they lie above `offset`. Each must rise and be disjoint.
pub(crate) fn union(offset: u64, a: &[Range<u64>], b: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut all: Vec<_> = a
        .iter()
        .chain(b)
        .filter(|range| range.end > offset)
        .cloned()
        .collect();
    all.sort_unstable_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::with_capacity(all.len());
    for range in all {
        let range = range.start.max(offset)..range.end;
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Ranges that rise, from a start and pairs of gap and length.
    fn ranges(offset: u64, steps: &[(u64, u64)]) -> Vec<Range<u64>> {
        let mut end = offset;
        steps
            .iter()
            .map(|&(gap, length)| {
                let start = end + gap;
                end = start + length;
                start..end
            })
            .collect()
    }

    #[test]
    fn nothing_is_written_as_nothing() {
        assert_eq!(encode(7, &[], LIMIT), "");
        assert_eq!(decode(7, b""), []);
    }

    #[test]
    fn foreign_and_broken_metadata_is_ignored() {
        let good = encode(7, &vec![9..12; 1], LIMIT);
        assert_eq!(decode(7, good.as_bytes()), vec![9..12; 1]);
        assert_eq!(decode(8, good.as_bytes()), [], "of another offset");
        for text in [
            "el1:",
            "el1",
            "el2:BwID",
            "el1:!",
            "hello",
            "el1:Bw\u{e9}",
            "el1:BwIA",
            "el1:BwI",
        ] {
            assert_eq!(decode(7, text.as_bytes()), [], "{text}");
        }
        let huge = encode(7, &vec![9..u64::MAX; 1], LIMIT);
        assert_eq!(
            decode(7, huge.as_bytes()),
            [],
            "beyond what a broker can have"
        );
    }

    #[test]
    fn keeps_the_lowest_ranges_that_fit() {
        let all = ranges(1 << 40, &[(1, 1); 4000]);
        let text = encode(1 << 40, &all, LIMIT);
        assert!(
            text.len() <= LIMIT && text.len() > LIMIT - 8,
            "{}",
            text.len()
        );
        let kept = decode(1 << 40, text.as_bytes());
        assert!(kept.len() > 1500);
        assert_eq!(kept, all[..kept.len()]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            offset in 0u64..1 << 50,
            steps in prop::collection::vec((1u64..5000, 1u64..100_000), 0..60),
            limit in 0usize..400,
        ) {
            let all = ranges(offset, &steps);
            let text = encode(offset, &all, limit);
            prop_assert!(text.is_empty() || text.len() <= limit);
            let kept = decode(offset, text.as_bytes());
            prop_assert_eq!(&kept[..], &all[..kept.len()]);
            if kept.len() < all.len() {
                let more = encode(offset, &all[..=kept.len()], usize::MAX);
                prop_assert!(more.len() > limit, "the next one would have fitted");
            }
        }

        #[test]
        fn anything_can_be_read(offset: u64, metadata in prop::collection::vec(any::<u8>(), 0..200)) {
            decode(offset, &metadata);
            let mut ours = PREFIX.as_bytes().to_vec();
            ours.extend_from_slice(URL_SAFE_NO_PAD.encode(&metadata).as_bytes());
            for range in decode(offset, &ours) {
                prop_assert!(range.start >= offset && !range.is_empty());
            }
        }

        #[test]
        fn a_union_has_what_either_has(
            offset in 0u64..60,
            a in prop::collection::vec((1u64..9, 1u64..9), 0..6),
            b in prop::collection::vec((1u64..9, 1u64..9), 0..6),
        ) {
            let (a, b) = (ranges(0, &a), ranges(0, &b));
            let model: BTreeSet<u64> =
                a.iter().chain(&b).cloned().flatten().filter(|at| *at >= offset).collect();
            let merged = union(offset, &a, &b);
            prop_assert!(merged.windows(2).all(|pair| pair[0].end < pair[1].start));
            prop_assert_eq!(merged.into_iter().flatten().collect::<BTreeSet<_>>(), model);
        }
    }
}
