use super::captures::captures;
use super::*;
use proptest::prelude::*;

/// Cuts `body` where `cuts` say.
fn cut<'b>(body: &'b [u8], cuts: &[prop::sample::Index]) -> Vec<&'b [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
    at.extend([0, body.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &body[pair[0]..pair[1]]).collect()
}

/// A secret-shaped message with whatever else.
fn secret() -> impl Strategy<Value = Vec<u8>> {
    let bytes = prop::collection::vec(any::<u8>(), 0..200);
    let part = prop_oneof![
        ("[a-z.]{0,9}", bytes.clone()).prop_map(|(key, value)| entry(2, &key, &value)),
        ("[a-z.]{0,9}", bytes.clone()).prop_map(|(key, value)| entry(4, &key, &value)),
        (6..300_u32, bytes.clone()).prop_map(|(number, value)| field(number, &value)),
    ];
    (prop::collection::vec(part, 0..9), bytes).prop_map(|(parts, name)| {
        let metadata = field(1, &[field(1, &name), entry(12, "a", &name)].concat());
        [metadata, parts.concat()].concat()
    })
}

proptest! {
    #[test]
    fn any_split_gives_the_same(
        items in prop::collection::vec(secret(), 0..4),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        watch in any::<bool>(),
    ) {
        let (framing, body) = if watch {
            (Framing::Watch, items.iter().flat_map(|raw| event(&object("v1", "Secret", raw))).collect())
        } else {
            let list: Vec<u8> = items.iter().flat_map(|raw| field(2, raw)).collect();
            (Framing::Object, object("v1", "SecretList", &list))
        };
        let expected = run(Asked::Secrets, framing, &[&body]);
        prop_assert!(expected.is_ok());
        prop_assert_eq!(&run(Asked::Secrets, framing, &cut(&body, &cuts)), &expected);
        // What is masked stays as it is when masked again.
        let (out, _) = expected.unwrap();
        prop_assert_eq!(run(Asked::Secrets, framing, &[&out]).unwrap().0, out);
    }

    #[test]
    fn random_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..300), secrets in any::<bool>(), watch in any::<bool>()) {
        let asked = if secrets { Asked::Secrets } else { Asked::Other };
        let framing = if watch { Framing::Watch } else { Framing::Object };
        let _ = run(asked, framing, &[&body]);
        let _ = run(asked, framing, &[&object("v1", "Secret", &body)]);
        let _ = run(asked, framing, &[&[b"k8s\0", &body[..]].concat()]);
        let _ = run(asked, framing, &[&event(&body)]);
    }

    #[test]
    fn broken_captures_never_leak_or_panic(
        which in any::<prop::sample::Index>(),
        breaks in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let all = captures();
        let (_, asked, framing, body, _) = &all[which.index(all.len())];
        let mut body = body.clone();
        for (at, byte) in &breaks {
            let at = at.index(body.len());
            body[at] = *byte;
        }
        prop_assert_eq!(run(*asked, *framing, &[&body]), run(*asked, *framing, &cut(&body, &cuts)));
    }
}
