#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use super::dictionary::{ID, dictionary};
use super::*;

/// The four streams that kubectl opens for `exec -i`, as zlib at level 9 compresses their headers.
const OPENED: [(&str, Role); 4] = [
    (
        "80030001000000280000000100000000000078f9e3c6a7c202a62346703a2b294a4dcc851625aca9a08006000000ffff",
        Role::Error,
    ),
    ("800300010000001700000003000000000000c22e555c02cc2e00000000ffff", Role::Stdin),
    ("800300010000001900000005000000000000c22a054ce729f9a52500000000ffff", Role::Stdout),
    ("800300010000001400000007000000000000c229073414000000ffff", Role::Stderr),
];

const ZLIB: &str = "78f9e3c6a7c2";

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

pub(crate) fn control(kind: u16, flags: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap() | u32::from(flags) << 24;
    [&[0x80, 3][..], &kind.to_be_bytes(), &length.to_be_bytes(), body].concat()
}

pub(crate) fn data(stream: u32, last: bool, bytes: &[u8]) -> Vec<u8> {
    [&data_header(stream, last, bytes.len()).unwrap()[..], bytes].concat()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<u8> {
    let counted = |text: &str| [&u32::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat();
    let mut block = u32::try_from(pairs.len()).unwrap().to_be_bytes().to_vec();
    for (name, value) in pairs {
        block.extend([counted(name), counted(value)].concat());
    }
    block
}

/// As a stored block of deflate.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap();
    [&[0][..], &length.to_le_bytes(), &(!length).to_le_bytes(), bytes].concat()
}

fn syn(stream: u32, flags: u8, block: &[u8]) -> Vec<u8> {
    control(1, flags, &[&stream.to_be_bytes()[..], &[0; 6], block].concat())
}

fn first(block: &[u8]) -> Vec<u8> {
    [hex(ZLIB), stored(block)].concat()
}

pub(crate) fn exec() -> Vec<u8> {
    OPENED.iter().flat_map(|(frame, _)| hex(frame)).collect()
}

/// What came of it: the events in words, and what would have gone on.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
struct Told {
    lines: Vec<String>,
    on: Vec<u8>,
    text: Vec<(u32, Vec<u8>)>,
}

impl Told {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Control(frame) => self.on.extend_from_slice(frame),
            Event::Open { stream, role } => self.lines.push(format!("{stream} opened: {role:?}")),
            Event::Silent { stream, role } => self.lines.push(format!("{stream} is silent: {role:?}")),
            Event::Reset { stream, role, .. } => self.lines.push(format!("{stream} reset: {role:?}")),
            Event::Data { stream, role, bytes, last } => {
                if last {
                    self.lines.push(format!("{stream} ended: {role:?}"));
                }
                match self.text.last_mut() {
                    Some((of, text)) if *of == stream => text.extend_from_slice(bytes),
                    _ => self.text.push((stream, bytes.to_vec())),
                }
            }
        }
    }
}

fn run(purpose: Purpose, pieces: &[(Side, &[u8])], size: usize) -> (Told, Result<(), SpdyError>) {
    let (mut connection, mut told) = (Connection::new(purpose), Told::default());
    for (side, bytes) in pieces {
        for chunk in bytes.chunks(size) {
            if let Err(error) = connection.take(*side, chunk, &mut |event| told.take(event)) {
                assert_eq!(connection.take(*side, b"more", &mut |_| panic!("after an error")), Err(error));
                return (told, Err(error));
            }
        }
    }
    (told, Ok(()))
}

#[test]
fn the_dictionary_is_the_one_that_headers_name() {
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in dictionary() {
        a = (a + u32::from(byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    assert_eq!(b << 16 | a, ID);
}

#[test]
fn an_exec_is_read_at_every_chunking() {
    let opened = exec();
    let typed = [data(3, false, b"ls\n"), data(3, true, b"")].concat();
    let reply = |stream: u32, block: &[u8]| control(2, 0, &[&stream.to_be_bytes()[..], block].concat());
    let replied = [
        reply(1, &first(&pairs(&[]))),
        reply(3, &stored(&pairs(&[]))),
        control(6, 0, &7_u32.to_be_bytes()),
        control(9, 0, &[0, 0, 0, 3, 0, 0, 0, 3]),
        control(4, 0, &[&1_u32.to_be_bytes()[..], &[0, 0, 0, 7, 0, 1, 0, 0]].concat()),
        data(5, false, b"a file\n"),
        data(7, false, b"oh"),
        data(5, true, b"another\n"),
        data(1, true, b"{\"status\":\"Success\"}"),
        control(7, 0, &[0; 8]),
    ]
    .concat();
    let pieces = [(Side::Client, &opened[..]), (Side::Client, &typed), (Side::Server, &replied)];
    let (whole, outcome) = run(Purpose::Terminal, &pieces, usize::MAX);
    assert_eq!(outcome, Ok(()));
    let mut expected: Vec<String> =
        OPENED.iter().zip([1, 3, 5, 7]).map(|((_, role), id)| format!("{id} opened: {role:?}")).collect();
    expected.extend(["3 ended: Stdin", "5 ended: Stdout", "1 ended: Error"].map(str::to_owned));
    assert_eq!(whole.lines, expected);
    assert_eq!(whole.text[0], (3, b"ls\n".to_vec()));
    assert_eq!(whole.text[1], (5, b"a file\n".to_vec()));
    assert!(whole.on.starts_with(&opened) && whole.on.ends_with(&control(7, 0, &[0; 8])));
    for size in 1..40 {
        assert_eq!(run(Purpose::Terminal, &pieces, size), (whole.clone(), Ok(())), "{size}");
    }
}

#[test]
fn forwarded_ports_are_told_apart() {
    let open = |kind, port, request| [("streamtype", kind), ("port", port), ("requestid", request)];
    let opened = [
        syn(1, FIN, &first(&pairs(&open("error", "8080", "0")))),
        syn(3, 0, &stored(&pairs(&open("data", "8080", "0")))),
        syn(5, FIN, &stored(&pairs(&open("error", "8080", "1")))),
        syn(7, 0, &stored(&pairs(&open("data", "8080", "1")))),
        data(3, true, b"GET / HTTP/1.0\r\n\r\n"),
    ]
    .concat();
    let reset = control(3, 0, &[0, 0, 0, 7, 0, 0, 0, 5]);
    let answer = [data(3, true, b"HTTP/1.0 200 OK\r\n\r\n"), reset].concat();
    let late = data(7, false, b"nobody reads this");
    // Cut in the middle by the server's reset.
    let half = data_header(7, false, 21).unwrap();
    let late = [&b"nobody"[..], &late].concat();
    let opened = [&opened[..], &half, b"somebody did so"].concat();
    let pieces = [(Side::Client, &opened[..]), (Side::Server, &answer), (Side::Client, &late)];
    let (told, outcome) = run(Purpose::PortForward, &pieces, 5);
    assert_eq!(outcome, Ok(()));
    let (a, b) = ("{ port: 8080, request: 0 }", "{ port: 8080, request: 1 }");
    assert_eq!(
        told.lines,
        [
            format!("1 opened: PortError {a}"),
            format!("1 is silent: PortError {a}"),
            format!("3 opened: PortData {a}"),
            format!("5 opened: PortError {b}"),
            format!("5 is silent: PortError {b}"),
            format!("7 opened: PortData {b}"),
            format!("3 ended: PortData {a}"),
            format!("3 ended: PortData {a}"),
            format!("7 reset: PortData {b}"),
        ]
    );
    assert!(!told.text.iter().any(|(_, text)| text.windows(6).any(|bytes| bytes == b"nobody")));
    assert!(told.text.contains(&(7, b"somebody did so".to_vec())));
}

#[test]
fn what_could_be_read_two_ways_breaks_the_connection() {
    use SpdyError::*;
    let stdin = [("streamtype", "stdin")];
    let opened = |rest: Vec<u8>| [exec(), rest].concat();
    let block = |bytes: &[u8]| syn(1, 0, &first(bytes));
    let cases: Vec<(&str, Vec<u8>, SpdyError)> = vec![
        ("version 2", [&[0x80, 2][..], &[0; 6]].concat(), Version),
        ("HEADERS", control(8, 0, &[0; 8]), Kind),
        ("CREDENTIAL", control(10, 0, &[0; 8]), Kind),
        ("unknown control frame", control(99, 0, &[]), Kind),
        ("unidirectional", syn(1, 2, &first(&pairs(&stdin))), Flags),
        ("compressed data", opened(vec![0, 0, 0, 3, 2, 0, 0, 0]), Flags),
        ("flags on a ping", control(6, 1, &[0; 4]), Flags),
        ("a short ping", control(6, 0, &[0; 3]), Length),
        ("a long reset", opened(control(3, 0, &[0; 9])), Length),
        ("settings that lie", control(4, 0, &[&9_u32.to_be_bytes()[..], &[0; 8]].concat()), Length),
        ("settings beyond number", control(4, 0, &[0xff; 4]), Length),
        ("a long control frame", vec![0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff], TooLong),
        ("no zlib header", syn(1, 0, &stored(&pairs(&stdin))), Compression),
        (
            "no dictionary",
            syn(1, 0, &[hex("789c"), vec![0; 4], stored(&pairs(&stdin))].concat()),
            Compression,
        ),
        (
            "another dictionary",
            syn(1, 0, &[hex("78f9e3c6a7c3"), stored(&pairs(&stdin))].concat()),
            Compression,
        ),
        ("no block", syn(1, 0, &hex(ZLIB)), Length),
        ("a damaged block", syn(1, 0, &[hex(ZLIB), vec![7; 9]].concat()), Compression),
        ("a final block", syn(1, 0, &[hex(ZLIB), vec![1, 0, 0, 0xff, 0xff]].concat()), Compression),
        ("a bomb", syn(1, 0, &first(&vec![0; 16_000])), TooLong),
        ("a thousand pairs", block(&1000_u32.to_be_bytes()), TooLong),
        ("pairs that are missing", block(&1_u32.to_be_bytes()), Length),
        ("a second block behind", block(&[pairs(&stdin), pairs(&stdin)].concat()), Length),
        ("upper case", block(&pairs(&[("streamType", "stdin")])), Headers),
        ("twice", block(&pairs(&[("streamtype", "stdin"), ("streamtype", "stdout")])), Headers),
        ("no name", block(&pairs(&[("", "stdin")])), Headers),
        ("two values", block(&pairs(&[("streamtype", "stdin\0stdout")])), Role),
        ("no type", block(&pairs(&[])), Role),
        ("unknown type", block(&pairs(&[("streamtype", "secret")])), Role),
        ("a port", block(&pairs(&[("streamtype", "data"), ("port", "80"), ("requestid", "1")])), Role),
        ("stdin twice", opened(syn(9, 0, &stored(&pairs(&stdin)))), Role),
        ("an even id", syn(2, 0, &first(&pairs(&stdin))), Stream),
        ("id 0", syn(0, 0, &first(&pairs(&stdin))), Stream),
        ("an id again", opened(syn(3, 0, &stored(&pairs(&stdin)))), Stream),
        ("a reserved bit", syn(0x8000_0001, 0, &first(&pairs(&stdin))), Stream),
        ("a reply by the client", opened(control(2, 0, &[0, 0, 0, 1])), Stream),
        ("data before it is opened", data(9, false, b"x"), Stream),
        ("data on stream 0", opened(data(0, false, b"x")), Stream),
        ("data after the end", opened([data(3, true, b"x"), data(3, false, b"y")].concat()), Direction),
        ("stdout typed", opened(data(5, false, b"x")), Direction),
        ("a status of one's own", opened(data(1, false, b"{}")), Direction),
    ];
    for (name, bytes, error) in cases {
        for size in [1, 7, usize::MAX] {
            let (_, outcome) = run(Purpose::Terminal, &[(Side::Client, &bytes)], size);
            assert_eq!(outcome, Err(error), "{name}, {size}");
        }
    }
    let server = [(Side::Client, &exec()[..]), (Side::Server, &data(3, false, b"x"))];
    assert_eq!(run(Purpose::Terminal, &server, 3).1, Err(Direction));
    let push = syn(2, 0, &first(&pairs(&stdin)));
    assert_eq!(run(Purpose::Terminal, &[(Side::Server, &push)], 3).1, Err(Stream));
}

#[test]
fn a_port_has_one_spelling() {
    let open = |port, request| {
        let pairs = pairs(&[("streamtype", "data"), ("port", port), ("requestid", request)]);
        run(Purpose::PortForward, &[(Side::Client, &syn(1, 0, &first(&pairs)))], 64).1
    };
    assert_eq!(open("80", "0"), Ok(()));
    for (port, request) in
        [("080", "0"), ("+80", "0"), ("0", "0"), ("65536", "0"), ("", "0"), ("80", "-1"), ("80", "x")]
    {
        assert_eq!(open(port, request), Err(SpdyError::Role), "{port} {request}");
    }
}

#[test]
fn thousands_of_connections_take_no_more_room() {
    let mut connection = Connection::new(Purpose::PortForward);
    let mut count = 0;
    for request in 0..4000_u32 {
        let number = request.to_string();
        let block = pairs(&[("streamtype", "data"), ("port", "80"), ("requestid", &number)]);
        let block = if request == 0 { first(&block) } else { stored(&block) };
        let stream = request * 2 + 1;
        let typed = [syn(stream, 0, &block), data(stream, true, b"hello")].concat();
        connection.take(Side::Client, &typed, &mut |_| count += 1).unwrap();
        connection.take(Side::Server, &data(stream, true, b"bye"), &mut |_| count += 1).unwrap();
        assert!(connection.whole(Side::Client) && connection.whole(Side::Server));
    }
    assert_eq!(count, 4000 * 4);
    let open: Vec<u8> = (4000..4600_u32)
        .flat_map(|request| {
            let number = request.to_string();
            let block = pairs(&[("streamtype", "data"), ("port", "80"), ("requestid", &number)]);
            syn(request * 2 + 1, 0, &stored(&block))
        })
        .collect();
    assert_eq!(connection.take(Side::Client, &open, &mut |_| ()), Err(SpdyError::TooLong));
}

#[cfg(not(target_arch = "wasm32"))]
mod properties {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever the bytes: no panic, and the same at every chunking.
        #[test]
        fn chunking_changes_nothing(
            frames in prop::collection::vec(
                prop_oneof![
                    (1..10_u32, any::<bool>(), prop::collection::vec(any::<u8>(), 0..40))
                        .prop_map(|(stream, last, bytes)| data(stream, last, &bytes)),
                    (0..11_u16, 0..3_u8, prop::collection::vec(any::<u8>(), 0..40))
                        .prop_map(|(kind, flags, body)| control(kind, flags, &body)),
                    prop::collection::vec(any::<u8>(), 0..20),
                ],
                0..8,
            ),
            server in any::<bool>(),
            size in 1..50_usize,
        ) {
            let (opened, bytes) = (exec(), frames.concat());
            let side = if server { Side::Server } else { Side::Client };
            let pieces = [(Side::Client, &opened[..]), (side, &bytes[..])];
            prop_assert_eq!(run(Purpose::Terminal, &pieces, size), run(Purpose::Terminal, &pieces, usize::MAX));
        }
    }
}
