//! The inside of strings: escapes and UTF-8, checked byte by byte so that any two JSON readers see the same text.

/// Where in a string the reader stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inside {
    /// Between characters.
    Plain,
    /// After a backslash. `low` says that a low surrogate must follow.
    Escape { low: bool },
    /// In a `\u` escape: digits still to come and their value so far.
    Unicode { left: u8, value: u16, low: bool },
    /// After a high surrogate: a backslash must follow.
    HighSurrogate,
    /// In a UTF-8 sequence: continuation bytes still to come, and the bounds of the next (Unicode 15, table 3-7).
    Sequence { left: u8, least: u8, most: u8 },
}

/// What a byte did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    On(Inside),
    /// The closing quote.
    End,
    Bad,
}

pub(super) fn step(inside: Inside, byte: u8) -> Step {
    use Inside::{Escape, HighSurrogate, Plain, Sequence, Unicode};
    let on = Step::On;
    match (inside, byte) {
        (Plain, b'"') => Step::End,
        (Plain, b'\\') => on(Escape { low: false }),
        (Plain, 0x20..=0x7f) => on(Plain),
        (Plain, 0xc2..=0xdf) => on(Sequence { left: 1, least: 0x80, most: 0xbf }),
        (Plain, 0xe0) => on(Sequence { left: 2, least: 0xa0, most: 0xbf }),
        (Plain, 0xed) => on(Sequence { left: 2, least: 0x80, most: 0x9f }),
        (Plain, 0xe1..=0xef) => on(Sequence { left: 2, least: 0x80, most: 0xbf }),
        (Plain, 0xf0) => on(Sequence { left: 3, least: 0x90, most: 0xbf }),
        (Plain, 0xf1..=0xf3) => on(Sequence { left: 3, least: 0x80, most: 0xbf }),
        (Plain, 0xf4) => on(Sequence { left: 3, least: 0x80, most: 0x8f }),
        (Sequence { left, least, most }, byte) if (least..=most).contains(&byte) => match left.checked_sub(1)
        {
            None | Some(0) => on(Plain),
            Some(left) => on(Sequence { left, least: 0x80, most: 0xbf }),
        },
        (Escape { low: false }, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => on(Plain),
        (Escape { low }, b'u') => on(Unicode { left: 4, value: 0, low }),
        (HighSurrogate, b'\\') => on(Escape { low: true }),
        (Unicode { left, value, low }, byte) => {
            let Some(digit) = char::from(byte).to_digit(16).and_then(|digit| u16::try_from(digit).ok())
            else {
                return Step::Bad;
            };
            let value = (value << 4) | digit;
            match (left.saturating_sub(1), low, value) {
                (0, true, 0xdc00..=0xdfff) => on(Plain),
                (0, true, _) | (0, false, 0xdc00..=0xdfff) => Step::Bad,
                (0, false, 0xd800..=0xdbff) => on(HighSurrogate),
                (0, false, _) => on(Plain),
                (left, low, value) => on(Unicode { left, value, low }),
            }
        }
        _ => Step::Bad,
    }
}

/// How many bytes at the start of `bytes` are plain ASCII inside a string, neither quote nor backslash nor control: many
/// at a time, because most of every document is such bytes.
pub(super) fn plain_run(bytes: &[u8]) -> usize {
    let mut run = 0usize;
    let (blocks, _) = bytes.as_chunks::<32>();
    for block in blocks {
        let (words, _) = block.as_chunks::<8>();
        if words.iter().fold(0, |any, word| any | special(u64::from_le_bytes(*word))) != 0 {
            break;
        }
        run = run.saturating_add(32);
    }
    let (words, rest) = bytes.get(run..).unwrap_or_default().as_chunks::<8>();
    for word in words {
        let special = special(u64::from_le_bytes(*word));
        if special != 0 {
            return run.saturating_add(usize::try_from(special.trailing_zeros() / 8).unwrap_or(0));
        }
        run = run.saturating_add(8);
    }
    let plain = |byte: &&u8| matches!(**byte, 0x20..=0x7f) && **byte != b'"' && **byte != b'\\';
    run.saturating_add(rest.iter().take_while(plain).count())
}

/// The high bit of each byte that is not plain; those behind the first may be wrong.
fn special(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let quote = zero(word ^ (ONES.wrapping_mul(0x22)));
    let backslash = zero(word ^ (ONES.wrapping_mul(0x5c)));
    // Below 0x20, or above 0x7f.
    let control = word.wrapping_sub(ONES.wrapping_mul(0x20)) & !word;
    (quote | backslash | control | word) & HIGHS
}
