//! A JSON body, its first two bytes saying how it is read and cut: whatever is let through is what the oracle says, and the
//! same however it is cut.
#![no_main]

use chaperone_filter::mask::fields::Fields;
use chaperone_filter::mask::text::TextPatterns;
use chaperone_filter::mask::{Extra, JsonMasker, Plan, Replacement, Taken};
use chaperone_fuzz::oracle::{self, Masks};
use chaperone_fuzz::{cut, timed};
use libfuzzer_sys::fuzz_target;
use std::rc::Rc;

const WITHHELD: &str = "the API server's message was withheld by chaperone, because it may quote the Secret";

fn run<'a>(
    plan: Plan,
    extra: &Extra,
    chunks: impl Iterator<Item = &'a [u8]>,
) -> Result<Vec<u8>, &'static str> {
    let mut masker =
        JsonMasker::new(plan, Rc::new(Replacement::default())).with(extra.clone()).keeping_originals();
    let mut out = Vec::new();
    for chunk in chunks {
        masker.push(chunk, &mut out).map_err(|error| error.code())?;
    }
    masker.finish(&mut out).map_err(|error| error.code())?;
    Ok(out)
}

fn extra(choice: u8) -> Extra {
    let mut fields = Fields::default();
    for path in ["$.spec.token", "$.data['a']", "$.x[*].y", "$.metadata.annotations.b"] {
        fields.add(path).expect("a path");
    }
    let enable = ["github-token".to_owned(), "pem-private-key".to_owned()];
    let patterns = TextPatterns::new(&enable, &[], &Replacement::default()).expect("patterns");
    Extra {
        fields: (choice & 1 == 1).then(|| Rc::new(fields)),
        patterns: (choice & 2 == 2).then(|| Rc::new(patterns)),
    }
}

fuzz_target!(|data: &[u8]| timed(data, |data| {
    let [how, seed, body @ ..] = data else { return };
    let (taken, slow) = match how & 3 {
        0 => (Taken::Secrets, oracle::Taken::Secrets),
        1 => (Taken::Tokens, oracle::Taken::Tokens),
        _ => (Taken::ByKind, oracle::Taken::ByKind),
    };
    let plan = Plan { taken, watch: how & 4 == 4 };
    let extra = extra(how >> 3);
    let whole = run(plan, &extra, [body].into_iter());
    assert_eq!(run(plan, &extra, cut(body, *seed)), whole, "it depends on the cut");
    let Ok(out) = whole else { return };
    let Some(before) = oracle::read(body) else {
        // A number that no float holds is no reason to refuse a body.
        let error =
            serde_json::Deserializer::from_slice(body).into_iter::<serde_json::Value>().find_map(Result::err);
        assert!(error.is_some_and(|error| error.to_string().contains("out of range")), "it is no JSON");
        return;
    };
    let after = oracle::read(&out).expect("what comes out is JSON");
    assert_eq!(before.len(), after.len());
    assert!(plan.watch || before.len() < 2, "one document");
    if !extra.is_empty() {
        // Masked a second time, nothing changes.
        assert_eq!(run(plan, &extra, [out.as_slice()].into_iter()).as_ref(), Ok(&out));
        return;
    }
    let replacement = Replacement::default();
    let masks = Masks { base64: replacement.base64(), text: replacement.text(), withheld: WITHHELD };
    for (before, after) in before.iter().zip(&after) {
        let expected = oracle::mask(before, slow, plan.watch, &masks);
        assert!(oracle::same(&expected, after), "{expected:?}\n{after:?}");
    }
}));
