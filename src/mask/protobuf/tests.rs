#![allow(clippy::arithmetic_side_effects, clippy::type_complexity)]

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

mod captures;
mod decoded;
#[cfg(not(target_arch = "wasm32"))]
mod properties;

use super::wire::put_varint;
use super::*;

/// A length-delimited field.
fn field(number: u32, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(u64::from(number) << 3 | 2, &mut out);
    put_varint(value.len() as u64, &mut out);
    out.extend_from_slice(value);
    out
}

fn type_meta(api_version: &str, kind: &str) -> Vec<u8> {
    field(1, &[field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat())
}

/// An object in its envelope, as the API server writes it.
fn object(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    [b"k8s\0".to_vec(), type_meta(api_version, kind), field(2, raw), field(3, b""), field(4, b"")].concat()
}

fn entry(number: u32, key: &str, value: &[u8]) -> Vec<u8> {
    field(number, &[field(1, key.as_bytes()), field(2, value)].concat())
}

fn watch_frame(event: &[u8]) -> Vec<u8> {
    [(event.len() as u32).to_be_bytes().to_vec(), event.to_vec()].concat()
}

fn event(object: &[u8]) -> Vec<u8> {
    watch_frame(&[field(1, b"ADDED"), field(2, &field(1, object))].concat())
}

fn run(asked: Asked, framing: Framing, chunks: &[&[u8]]) -> Result<(Vec<u8>, Vec<String>), ProtobufError> {
    let replacement = Rc::new(Replacement::default());
    let mut masker = ProtobufMasker::new(asked, framing, replacement, DEFAULT_LIMIT);
    let mut out = Vec::new();
    for chunk in chunks {
        masker.push(chunk, &mut out)?;
    }
    masker.finish(&mut out)?;
    let paths = masker.masked().paths().iter().map(|masked| format!("{}={}", masked.path, masked.count));
    Ok((out, paths.collect()))
}

fn whole(asked: Asked, body: &[u8]) -> Result<(Vec<u8>, Vec<String>), ProtobufError> {
    run(asked, Framing::Object, &[body])
}

const MASK: &[u8] = b"[masked by chaperone]";

#[test]
fn masks_by_kind() {
    let secret = |value: &[u8]| {
        let metadata = field(1, &[field(1, b"s"), entry(11, "app", b"db")].concat());
        [metadata, entry(2, "password", value), entry(2, "tls.crt", value), field(3, b"Opaque")].concat()
    };
    let long = vec![b'x'; 70_000];
    let items = |value: &[u8]| {
        [field(1, b""), field(2, &secret(value)), field(2, &secret(value)), vec![0x30, 7]].concat()
    };
    let status = |text: &[u8]| {
        let cause =
            |text: &[u8]| [field(1, b"FieldValueInvalid"), field(2, text), field(3, b"data")].concat();
        let details = [field(1, b"db"), field(3, b"Secret"), field(4, &cause(text)), field(4, &cause(text))];
        [
            field(1, b""),
            field(2, b"Failure"),
            field(3, text),
            field(4, b"Invalid"),
            field(5, &details.concat()),
        ]
        .concat()
    };
    let token = |text: &[u8]| [field(1, b""), field(2, b""), field(3, &field(1, text))].concat();
    let review =
        |text: &[u8]| [field(1, b""), field(2, &[field(1, text), field(2, b"aud")].concat())].concat();
    let metadata = |text: &[u8]| {
        let annotation = entry(12, "kubectl.kubernetes.io/last-applied-configuration", text);
        field(1, &[field(1, b"s"), entry(12, "note", b"kept"), annotation].concat())
    };
    let last_applied = "['kubectl.kubernetes.io/last-applied-configuration']=1";
    let (twice_password, twice_tls) = ("$.items[*].data.password=2", "$.items[*].data['tls.crt']=2");
    type Build<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;
    let cases: [(&str, Asked, &str, &str, Build<'_>, &[&str]); 8] = [
        ("secret", Asked::Secrets, "v1", "Secret", &secret, &["$.data.password=1", "$.data['tls.crt']=1"]),
        (
            "by kind alone",
            Asked::Other,
            "v1",
            "Secret",
            &secret,
            &["$.data.password=1", "$.data['tls.crt']=1"],
        ),
        ("list", Asked::Secrets, "v1", "SecretList", &items, &[twice_password, twice_tls]),
        (
            "status",
            Asked::Secrets,
            "v1",
            "Status",
            &status,
            &["$.message=1", "$.details.causes[*].message=2"],
        ),
        (
            "token request",
            Asked::Other,
            "authentication.k8s.io/v1",
            "TokenRequest",
            &token,
            &["$.status.token=1"],
        ),
        (
            "token review",
            Asked::Other,
            "authentication.k8s.io/v1",
            "TokenReview",
            &review,
            &["$.spec.token=1"],
        ),
        (
            "metadata",
            Asked::Secrets,
            "meta.k8s.io/v1",
            "PartialObjectMetadata",
            &metadata,
            &[&format!("$.metadata.annotations{last_applied}")],
        ),
        (
            "metadata list",
            Asked::Secrets,
            "meta.k8s.io/v1",
            "PartialObjectMetadataList",
            &|text| [field(1, b""), field(2, &metadata(text))].concat(),
            &[&format!("$.items[*].metadata.annotations{last_applied}")],
        ),
    ];
    for (name, asked, api_version, kind, build, paths) in cases {
        for value in [&b"hunter2"[..], &long, b"[masked by chaperone]", b"x"] {
            let (out, masked) = whole(asked, &object(api_version, kind, &build(value))).unwrap();
            assert_eq!(out, object(api_version, kind, &build(MASK)), "{name}");
            assert_eq!(masked, paths, "{name}");
            let watched = event(&object(api_version, kind, &build(value)));
            let (out, _) = run(asked, Framing::Watch, &[&watched.repeat(2)]).unwrap();
            assert_eq!(out, event(&object(api_version, kind, &build(MASK))).repeat(2), "{name}, watched");
        }
    }
}

#[test]
fn keeps_unknown_fields_and_order() {
    let unknown =
        [field(77, b"later"), vec![0x30, 0x96, 0x01], vec![0x3d, 1, 2, 3, 4], vec![0x41; 9]].concat();
    let raw =
        |value: &[u8]| [field(3, b"Opaque"), entry(2, "k", value), unknown.clone(), field(1, b"")].concat();
    let (out, _) = whole(Asked::Secrets, &object("v1", "Secret", &raw(b"hunter2"))).unwrap();
    assert_eq!(out, object("v1", "Secret", &raw(MASK)));
}

#[test]
fn empty_values_and_bodies() {
    let no_value = object("v1", "Secret", &field(2, &field(1, b"k")));
    assert_eq!(whole(Asked::Secrets, &no_value).unwrap().0, no_value);
    let empty = object("v1", "Secret", &entry(2, "k", b""));
    assert_eq!(whole(Asked::Secrets, &empty).unwrap().0, object("v1", "Secret", &entry(2, "k", MASK)));
    assert_eq!(whole(Asked::Secrets, b"").unwrap().0, b"");
    assert_eq!(run(Asked::Secrets, Framing::Watch, &[]).unwrap().0, b"");
}

#[test]
fn other_kinds_pass_unchanged_and_are_not_held() {
    let replacement = Rc::new(Replacement::default());
    let body = object("v1", "PodList", &field(2, &[7; 5000]));
    let mut masker = ProtobufMasker::new(Asked::Other, Framing::Object, replacement, 1024);
    let mut out = Vec::new();
    for chunk in body.chunks(100) {
        masker.push(chunk, &mut out).unwrap();
    }
    assert!(masker.passes());
    assert_eq!(out, body);
    masker.finish(&mut out).unwrap();
    assert_eq!(out, body);
    let status = object("v1", "Status", &field(3, b"pods \"x\" not found"));
    assert_eq!(whole(Asked::Other, &status).unwrap().0, status);
}

#[test]
fn refuses() {
    use ProtobufError as E;
    let head = |kind: &str| [b"k8s\0".to_vec(), type_meta("v1", kind)].concat();
    let envelope = |kind: &str, rest: &[&[u8]]| [head(kind), rest.concat()].concat();
    let metadata = field(1, b"");
    let group = E::Wire(WireError::WireType);
    let cases: [(&str, Asked, Vec<u8>, E); 33] = [
        ("another kind", Asked::Secrets, object("v1", "ConfigMap", b""), E::Kind),
        ("another kind, another case", Asked::Secrets, object("v1", "secret", b""), E::Kind),
        ("another version", Asked::Other, object("v2", "Secret", b""), E::Kind),
        ("no magic", Asked::Other, b"k9s\0".to_vec(), E::Magic),
        ("JSON", Asked::Other, b"{\"kind\":\"Secret\"}".to_vec(), E::Magic),
        ("magic only", Asked::Other, b"k8s\0".to_vec(), E::Wire(WireError::Truncated)),
        ("raw first", Asked::Other, [b"k8s\0".to_vec(), field(2, b"x")].concat(), E::NoTypeMeta),
        ("no kind", Asked::Other, [b"k8s\0".to_vec(), field(1, &field(1, b"v1"))].concat(), E::NoTypeMeta),
        ("empty kind", Asked::Other, object("v1", "", b""), E::NoTypeMeta),
        ("long type meta", Asked::Other, object("v1", &"k".repeat(2000), b""), E::NoTypeMeta),
        (
            "two kinds",
            Asked::Other,
            [b"k8s\0".to_vec(), field(1, &field(2, b"Pod").repeat(2))].concat(),
            E::Repeated,
        ),
        (
            "unknown in type meta",
            Asked::Other,
            [b"k8s\0".to_vec(), field(1, &field(3, b""))].concat(),
            E::UnknownField,
        ),
        (
            "second type meta",
            Asked::Other,
            envelope("Pod", &[&field(2, b""), &type_meta("v1", "Secret")]),
            E::Repeated,
        ),
        ("second raw", Asked::Other, envelope("Pod", &[&field(2, b""), &field(2, b"")]), E::Repeated),
        (
            "second raw, masked",
            Asked::Other,
            envelope("Secret", &[&field(2, b""), &field(2, b"")]),
            E::Repeated,
        ),
        ("encoding", Asked::Other, envelope("Secret", &[&field(3, b"gzip")]), E::Encoded),
        ("encoding, passing", Asked::Other, envelope("Pod", &[&field(3, b"gzip")]), E::Encoded),
        ("content type", Asked::Other, envelope("Secret", &[&field(4, b"application/json")]), E::Encoded),
        (
            "content type, passing",
            Asked::Other,
            envelope("Pod", &[&field(4, b"application/json")]),
            E::Encoded,
        ),
        (
            "content type of that length, passing",
            Asked::Other,
            envelope("Pod", &[&field(4, &[b'a'; envelope::PROTOBUF.len()])]),
            E::Encoded,
        ),
        ("trailing field", Asked::Other, envelope("Pod", &[&field(5, b"")]), E::UnknownField),
        ("trailing byte", Asked::Other, envelope("Pod", &[&[0x12]]), E::Wire(WireError::Truncated)),
        (
            "trailing byte, masked",
            Asked::Other,
            envelope("Secret", &[&[0x12]]),
            E::Wire(WireError::Truncated),
        ),
        (
            "truncated raw, passing",
            Asked::Other,
            envelope("Pod", &[&[0x12, 9, 1]]),
            E::Wire(WireError::Truncated),
        ),
        ("second metadata", Asked::Other, object("v1", "Secret", &metadata.repeat(2)), E::Repeated),
        ("group", Asked::Other, object("v1", "Secret", &[0x33, 0x34]), group),
        ("field 0", Asked::Other, object("v1", "Secret", &[0x02, 0]), E::Wire(WireError::FieldNumber)),
        (
            "field 2^29",
            Asked::Other,
            object("v1", "Secret", &[0x82, 0x80, 0x80, 0x80, 0x10, 0]),
            E::Wire(WireError::FieldNumber),
        ),
        (
            "padded length",
            Asked::Other,
            object("v1", "Secret", &[0x0a, 0x80, 0x00]),
            E::Wire(WireError::Varint),
        ),
        (
            "length over 64 bits",
            Asked::Other,
            object("v1", "Secret", &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
            E::Wire(WireError::Varint),
        ),
        (
            "length over the end",
            Asked::Other,
            object("v1", "Secret", &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
            E::Wire(WireError::Length),
        ),
        ("data as a number", Asked::Other, object("v1", "Secret", &[0x10, 1]), E::WrongType),
        (
            "data with more than key and value",
            Asked::Other,
            object("v1", "Secret", &field(2, &field(3, b"v"))),
            E::UnknownField,
        ),
    ];
    for (name, asked, body, error) in cases {
        assert_eq!(whole(asked, &body), Err(error), "{name}");
        let bytes: Vec<&[u8]> = body.chunks(1).collect();
        assert_eq!(run(asked, Framing::Object, &bytes), Err(error), "{name}, byte by byte");
    }
}

#[test]
fn refuses_in_watches() {
    use ProtobufError as E;
    let secret = object("v1", "Secret", &entry(2, "k", b"hunter2"));
    let cases: [(&str, Vec<u8>, E); 8] = [
        ("bare object", event(b"{}"), E::Magic),
        ("another kind", event(&object("v1", "Pod", b"")), E::Kind),
        ("cut off", event(&secret)[..40].to_vec(), E::Wire(WireError::Truncated)),
        ("cut off in the length", vec![0, 0], E::Wire(WireError::Truncated)),
        ("frame over the limit", vec![0x7f, 0xff, 0xff, 0xff], E::TooLarge),
        ("unknown field", watch_frame(&field(3, b"")), E::UnknownField),
        ("two objects", watch_frame(&field(2, &field(1, &secret)).repeat(2)), E::Repeated),
        ("two raws", watch_frame(&field(2, &field(1, &secret).repeat(2))), E::Repeated),
    ];
    for (name, body, error) in cases {
        assert_eq!(run(Asked::Secrets, Framing::Watch, &[&body]), Err(error), "{name}");
    }
}

#[test]
fn holds_no_more_than_the_limit_and_stays_failed() {
    let replacement = Rc::new(Replacement::default());
    let body = object("v1", "Secret", &entry(2, "k", &[1; 4000]));
    let mut masker = ProtobufMasker::new(Asked::Secrets, Framing::Object, replacement, 1024);
    let mut out = Vec::new();
    let results: Vec<_> = body.chunks(500).map(|chunk| masker.push(chunk, &mut out)).collect();
    assert_eq!(results.last(), Some(&Err(ProtobufError::TooLarge)));
    assert_eq!(masker.finish(&mut out), Err(ProtobufError::TooLarge));
    assert!(out.is_empty());
}
