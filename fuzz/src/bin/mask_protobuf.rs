//! A protobuf body, its first two bytes saying how it is read and cut: the same however it is cut; what is let through
//! keeps its frame, and masking it a second time changes nothing.
#![no_main]

use chaperone_filter::mask::Replacement;
use chaperone_filter::mask::protobuf::{Asked, Framing, ProtobufMasker};
use chaperone_fuzz::{cut, timed};
use libfuzzer_sys::fuzz_target;
use std::rc::Rc;

/// Planted by the seeds in every value that must not come out.
const PLANTED: &[u8] = b"planted-secret";

fn run<'a>(
    asked: Asked,
    framing: Framing,
    chunks: impl Iterator<Item = &'a [u8]>,
) -> Result<Vec<u8>, &'static str> {
    let mut masker = ProtobufMasker::new(asked, framing, Rc::new(Replacement::default()), 1 << 16);
    let mut out = Vec::new();
    for chunk in chunks {
        masker.push(chunk, &mut out).map_err(|error| error.code())?;
    }
    masker.finish(&mut out).map_err(|error| error.code())?;
    Ok(out)
}

/// A field of two bytes' length.
fn field(number: u8, value: &[u8]) -> Vec<u8> {
    let length = value.len();
    [&[number << 3 | 2, (length & 0x7f) as u8 | 0x80, (length >> 7) as u8][..], value].concat()
}

/// The bytes as unknown and known fields of a Secret, behind a value of which something is known.
fn secret(body: &[u8]) -> Vec<u8> {
    let entry = [field(1, b"key"), field(2, PLANTED)].concat();
    let meta = field(1, &[field(1, b"v1"), field(2, b"Secret")].concat());
    [&b"k8s\0"[..], &meta, &field(2, &[&field(2, &entry)[..], body].concat())].concat()
}

fuzz_target!(|data: &[u8]| timed(data, |data| {
    let [how, seed, body @ ..] = data else { return };
    let asked = if how & 1 == 0 { Asked::Secrets } else { Asked::Other };
    let framing = if how & 2 == 0 { Framing::Object } else { Framing::Watch };
    let made = how & 4 == 4 && framing == Framing::Object && body.len() < 16_000;
    let body = if made { secret(body) } else { body.to_vec() };
    let whole = run(asked, framing, [body.as_slice()].into_iter());
    assert_eq!(run(asked, framing, cut(&body, *seed)), whole, "it depends on the cut");
    let Ok(out) = whole else { return };
    if made {
        let planted = body.windows(PLANTED.len()).filter(|window| *window == PLANTED).count();
        let left = out.windows(PLANTED.len()).filter(|window| *window == PLANTED).count();
        assert!(left < planted, "a value came out");
    }
    assert_eq!(run(asked, framing, [out.as_slice()].into_iter()).as_ref(), Ok(&out));
}));
