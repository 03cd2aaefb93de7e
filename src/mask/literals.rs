//! Finds any of a few texts in bytes, fast where there is none.
//!
//! Each text has a bit; three table look-ups and two ANDs per byte say which texts can begin there, and only those are
//! compared. That is one pass over the bytes whatever the number of texts, in plain code that wasm compiles well.

/// A set of at most 64 texts to look for, of at least 3 bytes each.
#[derive(Clone, Debug)]
pub(super) struct Literals {
    texts: Vec<Literal>,
    /// For each byte, which texts have it at their first, second, third place.
    places: Box<[[u64; 3]; 256]>,
}

#[derive(Clone, Debug)]
struct Literal {
    /// Lower case where `any_case`.
    bytes: Vec<u8>,
    any_case: bool,
}

/// A place where a text of the set begins, or may begin beyond the end of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Where it begins.
    pub(super) at: usize,
    /// Which text, counted in the order of [`Literals::add`]; the first of several that begin there.
    pub(super) text: usize,
    /// Whether all of it is there; otherwise the bytes end within it.
    pub(super) whole: bool,
}

impl Literals {
    /// The empty set.
    pub(super) fn new() -> Self {
        Self { texts: Vec::new(), places: Box::new([[0; 3]; 256]) }
    }

    /// Adds a text; with `any_case` ASCII letters match in both cases. None where it is too short or one too many.
    pub(super) fn add(&mut self, text: &[u8], any_case: bool) -> Option<usize> {
        let index = self.texts.len();
        let bit = 1_u64.checked_shl(u32::try_from(index).ok()?)?;
        for (place, byte) in text.first_chunk::<3>()?.iter().enumerate() {
            let cases = [byte.to_ascii_lowercase(), byte.to_ascii_uppercase()];
            for byte in if any_case { cases } else { [*byte; 2] } {
                *self.places.get_mut(usize::from(byte))?.get_mut(place)? |= bit;
            }
        }
        let bytes = if any_case { text.to_ascii_lowercase() } else { text.to_vec() };
        self.texts.push(Literal { bytes, any_case });
        Some(index)
    }

    /// The longest text's length.
    pub(super) fn longest(&self) -> usize {
        self.texts.iter().map(|text| text.bytes.len()).max().unwrap_or(0)
    }

    /// The length of one text.
    pub(super) fn len_of(&self, text: usize) -> usize {
        self.texts.get(text).map_or(0, |text| text.bytes.len())
    }

    /// The first place from `from` on where a text begins, or may begin.
    pub(super) fn find(&self, bytes: &[u8], from: usize) -> Option<Candidate> {
        let mut at = from;
        while let Some(step) = self.next_likely(bytes.get(at..)?) {
            at = at.saturating_add(step);
            if let Some(found) = self.check(bytes, at) {
                return Some(found);
            }
            at = at.saturating_add(1);
        }
        let tail = bytes.len().saturating_sub(2).max(at);
        (tail..bytes.len()).find_map(|at| self.check(bytes, at))
    }

    /// Where the first three bytes of some text stand next.
    fn next_likely(&self, bytes: &[u8]) -> Option<usize> {
        bytes.windows(3).position(|window| {
            let [first, second, third] = *window else { return false };
            self.place(first, 0) & self.place(second, 1) & self.place(third, 2) != 0
        })
    }

    fn place(&self, byte: u8, place: usize) -> u64 {
        self.places.get(usize::from(byte)).and_then(|places| places.get(place)).copied().unwrap_or(0)
    }

    fn check(&self, bytes: &[u8], at: usize) -> Option<Candidate> {
        let here = bytes.get(at..)?;
        let mut possible = (0..3).fold(u64::MAX, |possible, place| match here.get(place) {
            Some(byte) => possible & self.place(*byte, place),
            None => possible,
        });
        while possible != 0 {
            let text = possible.trailing_zeros() as usize;
            possible &= possible.wrapping_sub(1);
            if let Some(whole) = self.texts.get(text)?.matches(here) {
                return Some(Candidate { at, text, whole });
            }
        }
        None
    }

    /// The next text after `candidate` that begins, or may begin, at the same place.
    pub(super) fn next_at(&self, bytes: &[u8], candidate: Candidate) -> Option<Candidate> {
        let here = bytes.get(candidate.at..)?;
        let rest = self.texts.iter().enumerate().skip(candidate.text.saturating_add(1));
        let mut matching = rest.filter_map(|(text, literal)| Some((text, literal.matches(here)?)));
        matching.next().map(|(text, whole)| Candidate { at: candidate.at, text, whole })
    }
}

impl Literal {
    /// Whether `bytes` begin with this text, as far as they go: whole or not.
    fn matches(&self, bytes: &[u8]) -> Option<bool> {
        let length = self.bytes.len().min(bytes.len());
        let (have, want) = (bytes.get(..length)?, self.bytes.get(..length)?);
        let equal = if self.any_case { have.eq_ignore_ascii_case(want) } else { have == want };
        equal.then_some(length == self.bytes.len())
    }
}
