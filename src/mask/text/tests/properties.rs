use super::*;
use proptest::prelude::*;

/// Pieces of text that begin, look like, or are credentials.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let literal = prop::sample::select(
        builtin::RULES.iter().map(|(_, literal, _, _)| literal.as_bytes().to_vec()).collect::<Vec<_>>(),
    );
    let ready = prop::sample::select(vec![
        jwt().into_bytes(),
        token("ghp_", 40).into_bytes(),
        upper("AKIA", 16).into_bytes(),
        b"postgres://u:hunter2@db/x".to_vec(),
        b"-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----".to_vec(),
        b"-----END ".to_vec(),
        b"-----".to_vec(),
        b"Authorization: Bearer abc".to_vec(),
        b"id=12345".to_vec(),
    ]);
    prop_oneof![
        literal,
        ready,
        "[a-zA-Z0-9._=:/@ -]{0,50}".prop_map(String::into_bytes),
        "[\n\"' \\\\.:@/]{1,3}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..8),
    ]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(piece(), 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_split_gives_the_same(bytes in bytes(), mut cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..30), own in any::<bool>()) {
        let patterns = if own { patterns(&[custom("id", "id=[0-9]+"), custom("mark", "m[a-z]+k")]) } else { patterns(&[]) };
        let (expected, counts) = stream(&patterns, &bytes, usize::MAX);
        let mut masker = TextMasker::new(Rc::clone(&patterns));
        let mut out = Vec::new();
        let mut at: Vec<usize> = cuts.drain(..).map(|cut| cut.index(bytes.len() + 1)).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        for pair in at.windows(2) {
            masker.push(&bytes[pair[0]..pair[1]], &mut out);
        }
        masker.finish(&mut out);
        prop_assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(&expected));
        prop_assert_eq!(&out, &expected);
        prop_assert_eq!(masker.counts(), counts);
        prop_assert_eq!(stream(&patterns, &bytes, 1).0, expected);
    }

    #[test]
    fn a_text_and_a_stream_agree(bytes in bytes()) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let patterns = patterns(&[custom("id", "id=[0-9]+")]);
        let (streamed, counts) = stream(&patterns, text.as_bytes(), 7);
        match patterns.mask(&text) {
            Some(masked) => {
                prop_assert_eq!(masked.text.as_bytes(), &streamed[..]);
                prop_assert_eq!(masked.counts, counts);
            }
            None => prop_assert_eq!(text.as_bytes(), &streamed[..]),
        }
    }

    #[test]
    fn flushes_show_no_credential(before in bytes(), after in bytes(), flushes in prop::collection::vec(any::<bool>(), 64)) {
        let secret = token("ghp_", 40);
        let text = [&before[..], b" ", secret.as_bytes(), b" ", &after[..]].concat();
        let mut masker = TextMasker::new(patterns(&[]));
        let mut out = Vec::new();
        for (chunk, flush) in text.chunks(5).zip(flushes.iter().cycle()) {
            masker.push(chunk, &mut out);
            if *flush {
                masker.flush(&mut out);
            }
        }
        masker.finish(&mut out);
        let body = &secret.as_bytes()[4..16];
        let own = before.windows(12).chain(after.windows(12)).any(|window| window == body);
        prop_assert!(own || !out.windows(12).any(|window| window == body));
    }
}
