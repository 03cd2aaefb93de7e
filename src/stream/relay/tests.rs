#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[cfg(not(target_arch = "wasm32"))]
mod properties;
mod spdy;

use super::*;
use crate::mask::Replacement;
use crate::mask::text::{CustomPattern, TextPatterns};
use crate::stream::Role;
use crate::stream::channel::ChannelError;
use crate::stream::websocket::WebSocketError;
use crate::stream::websocket::tests::{client, server};
use std::rc::Rc;

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const MASK: &str = "[masked by chaperone]";

fn patterns() -> Rc<TextPatterns> {
    let custom = [CustomPattern { name: "ticket".to_owned(), regex: "ticket-[0-9]{6}".to_owned() }];
    Rc::new(TextPatterns::new(&["aws-access-key".to_owned()], &custom, &Replacement::default()).unwrap())
}

fn terminal(subprotocol: Subprotocol, masked: bool, tty: bool) -> Relay {
    Relay::websocket(subprotocol, Layout::Terminal, Masks::new(masked.then(patterns), tty))
}

/// What came of it: each channel's bytes, ends, and what went on to the other side.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    channels: Vec<(Role, Vec<u8>)>,
    closed: Vec<Role>,
    ended: Vec<(Side, Option<u16>)>,
    out: Vec<u8>,
}

impl Told {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Open(role) => self.channels.push((role, Vec::new())),
            Event::Data(_, role, bytes) => match self.channels.iter_mut().find(|(known, _)| *known == role) {
                Some((_, all)) => all.extend_from_slice(bytes),
                None => self.channels.push((role, bytes.to_vec())),
            },
            Event::Close(_, role) => self.closed.push(role),
            Event::End(side, code) => self.ended.push((side, code)),
        }
    }

    fn text(&self, role: Role) -> String {
        let found = self.channels.iter().find(|(known, _)| *known == role);
        String::from_utf8_lossy(found.map_or(&[][..], |(_, bytes)| bytes)).into_owned()
    }
}

fn run(relay: &mut Relay, side: Side, bytes: &[u8], size: usize) -> (Told, Result<(), StreamError>) {
    let (mut told, mut out) = (Told::default(), Vec::new());
    for chunk in bytes.chunks(size) {
        let taken = relay.take(side, chunk, &mut out, &mut |event| told.take(event));
        if taken.is_err() {
            told.out = out;
            return (told, taken);
        }
    }
    told.out = out;
    (told, Ok(()))
}

fn printed() -> Vec<u8> {
    [
        server(0x82, b"\x01"),
        server(0x82, b"\x01total 4\r\n"),
        server(0x89, b"still there?"),
        server(0x82, b"\x02cannot open\n"),
        server(0x02, b"\x01in "),
        server(0x80, b"pieces\n"),
        server(0x82, &[b"\x01".as_slice(), "größer\n".repeat(50).as_bytes()].concat()),
        server(0x82, b"\x03{\"metadata\":{},\"status\":\"Success\"}"),
        server(0x88, b"\x03\xe8"),
    ]
    .concat()
}

#[test]
fn without_patterns_what_comes_is_what_goes_on_at_every_chunking() {
    let typed = [
        client(0x82, b"\x00ls -l\r"),
        client(0x8a, b"still there?"),
        client(0x82, b"\x04{\"Width\":80,\"Height\":24}"),
        client(0x82, b"\xff\x00"),
        client(0x88, b""),
    ]
    .concat();
    for (side, bytes) in [(Side::Client, &typed), (Side::Server, &printed())] {
        let (mut whole, _) =
            run(&mut terminal(Subprotocol::Channels(5), false, true), side, bytes, usize::MAX);
        assert_eq!(&whole.out, bytes);
        for size in 1..40 {
            let told = run(&mut terminal(Subprotocol::Channels(5), false, true), side, bytes, size);
            assert_eq!((&told.0, &told.1), (&whole, &Ok(())), "{size}");
            whole = told.0;
        }
    }
}

#[test]
fn with_patterns_everything_else_still_passes_as_it_came() {
    for size in [1, 2, 3, 7, 50, 10_000] {
        let (plain, _) =
            run(&mut terminal(Subprotocol::Channels(5), false, true), Side::Server, &printed(), size);
        let (masked, taken) =
            run(&mut terminal(Subprotocol::Channels(5), true, true), Side::Server, &printed(), size);
        assert_eq!(taken, Ok(()));
        assert_eq!(masked.channels, plain.channels, "{size}");
        assert_eq!(masked.ended, [(Side::Server, Some(1000))]);
        // What went on reads the same.
        let (again, taken) =
            run(&mut terminal(Subprotocol::Channels(5), false, true), Side::Server, &masked.out, 10_000);
        assert_eq!((again.channels, taken), (plain.channels, Ok(())), "{size}");
    }
}

#[test]
fn credentials_in_what_is_printed_do_not_reach_the_agent() {
    let long = [b"\x01".as_slice(), &vec![b'x'; 9000]].concat();
    let half = |bytes: &str| server(0x82, &[b"\x01", bytes.as_bytes()].concat());
    for (name, bytes, expected) in [
        ("in one message", half(&format!("key={KEY}\n")), format!("key={MASK}\n")),
        ("in two", [half("key=AKIAIOSF"), half("ODNN7EXAMPLE\n")].concat(), format!("key={MASK}\n")),
        ("at the end", [half(&format!("key={KEY}")), server(0x88, b"")].concat(), format!("key={MASK}")),
        ("cut at the end", [half("key=AKIAIOSFODNN7E"), server(0x88, b"")].concat(), format!("key={MASK}")),
        (
            "across the end of a long one",
            [server(0x82, &[&long[..], b" ticket-123"].concat()), half("456\n")].concat(),
            { format!("{} {MASK}\n", "x".repeat(9000)) },
        ),
        (
            "behind frames without a byte",
            [
                server(0x02, b""),
                server(0x00, b""),
                server(0x00, format!("\x01key={KEY}").as_bytes()),
                server(0x80, b"\n"),
            ]
            .concat(),
            format!("key={MASK}\n"),
        ),
        ("of the operator's own", half("see ticket-123456\n"), format!("see {MASK}\n")),
    ] {
        for size in [1, 3, 17, 100_000] {
            let (told, taken) =
                run(&mut terminal(Subprotocol::Channels(4), true, false), Side::Server, &bytes, size);
            assert_eq!(taken, Ok(()), "{name}");
            let text = told.text(Role::Stdout);
            assert!(!text.contains("IOSFODNN7E") && !text.contains("ticket-1"), "{name} {size}: {text}");
            let sees = String::from_utf8_lossy(&told.out).into_owned();
            assert!(!sees.contains("IOSFODNN7E"), "{name} {size}: {sees}");
            // A pause shows how a key begins.
            assert_eq!(text.replace("AKIA[", "["), expected, "{name} {size}");
        }
    }
}

#[test]
fn messages_that_come_together_are_no_pauses() {
    let line = format!("ticket-123456 {KEY}");
    let bytes: Vec<u8> = line.bytes().flat_map(|byte| server(0x82, &[1, byte])).collect();
    let bytes = [bytes, server(0x82, b"\x02$ "), server(0x8a, b""), server(0x82, b"\x01\n")].concat();
    for size in [bytes.len(), 1] {
        let (told, _) = run(&mut terminal(Subprotocol::Channels(4), true, true), Side::Server, &bytes, size);
        let together = size > 1;
        assert_eq!(told.text(Role::Stdout) == format!("{MASK} {MASK}\n"), together, "{size}");
        assert_eq!(told.text(Role::Stderr), "$ ");
    }
}

#[test]
fn what_was_printed_before_the_status_goes_out_before_it() {
    let bytes = [server(0x82, b"\x01ticket-12"), server(0x82, b"\x03{\"status\":\"Success\"}")].concat();
    for size in [1, 5, 14, 1000] {
        let (told, _) = run(&mut terminal(Subprotocol::Channels(4), true, false), Side::Server, &bytes, size);
        assert_eq!(told.out, bytes, "{size}");
    }
}

#[test]
fn a_prompt_does_not_wait_for_its_answer() {
    let prompt = server(0x82, b"\x01$ ");
    let partial = server(0x82, b"\x01ticket-12");
    let base64 = server(0x81, b"1JCA=");
    for (name, subprotocol, bytes, expected) in [
        ("a prompt", Subprotocol::Channels(4), &prompt, "$ "),
        ("what could become a match", Subprotocol::Channels(4), &partial, "ticket-12"),
        ("as text", Subprotocol::Base64Channels(1), &base64, "$ "),
    ] {
        for tty in [true, false] {
            let (told, _) = run(&mut terminal(subprotocol, true, tty), Side::Server, bytes, 1);
            assert_eq!(told.text(Role::Stdout), expected, "{name}");
            let (again, _) = run(&mut terminal(subprotocol, false, tty), Side::Server, &told.out, 1000);
            assert_eq!(again.text(Role::Stdout), expected, "{name}");
        }
    }
}

#[test]
fn what_is_held_back_goes_out_when_the_server_ends_without_a_word() {
    let mut relay = terminal(Subprotocol::Channels(4), true, false);
    let bulk = [b"\x01".as_slice(), &vec![b'y'; 5000], b"ticket-1"].concat();
    let (mut told, _) = run(&mut relay, Side::Server, &server(0x82, &bulk), 100_000);
    let mut out = std::mem::take(&mut told.out);
    relay.finish(&mut out, &mut |event| told.take(event));
    assert!(told.text(Role::Stdout).ends_with("yticket-1"));
    assert!(out.ends_with(b"ticket-1"));
    assert!(relay.masked().is_empty());
}

#[test]
fn nothing_of_a_chunk_with_an_error_goes_on() {
    for (name, side, bytes, expected) in [
        (
            "a hidden command",
            Side::Client,
            [client(0x82, b"\x00ls\n"), client(0x02, b"\x00rm"), client(0x80, b"\x00 -rf\n")].concat(),
            StreamError::WebSocket(WebSocketError::Fragmented),
        ),
        (
            "a channel that is not there",
            Side::Client,
            [client(0x82, b"\x00ls\n"), client(0x82, b"\x09x")].concat(),
            StreamError::Channel(ChannelError::Number),
        ),
    ] {
        let mut relay = terminal(Subprotocol::Channels(5), false, true);
        let (told, taken) = run(&mut relay, side, &bytes, 10_000);
        assert_eq!((told.out.as_slice(), taken), (&b""[..], Err(expected)), "{name}");
    }
}

#[test]
fn a_tunnel_tells_its_connections() {
    let pairs = |pairs: &[(&str, &str)]| {
        let counted =
            |text: &str| [&u32::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat();
        let mut block = u32::try_from(pairs.len()).unwrap().to_be_bytes().to_vec();
        pairs.iter().for_each(|(name, value)| block.extend([counted(name), counted(value)].concat()));
        let length = u16::try_from(block.len()).unwrap();
        [&[0][..], &length.to_le_bytes(), &(!length).to_le_bytes(), &block].concat()
    };
    let syn = |stream: u32, block: &[u8]| {
        let length = u32::try_from(block.len() + 10).unwrap().to_be_bytes();
        [&[0x80, 3, 0, 1][..], &length, &stream.to_be_bytes(), &[0; 6], block].concat()
    };
    let data = |stream, last, bytes: &[u8]| {
        [&crate::stream::spdy::data_header(stream, last, bytes.len()).unwrap()[..], bytes].concat()
    };
    let zlib = [0x78, 0xf9, 0xe3, 0xc6, 0xa7, 0xc2];
    let opened = [
        syn(1, &[&zlib[..], &pairs(&[("streamtype", "error"), ("port", "80"), ("requestid", "0")])].concat()),
        syn(3, &pairs(&[("streamtype", "data"), ("port", "80"), ("requestid", "0")])),
        data(3, true, b"GET / HTTP/1.0\r\n\r\n"),
    ]
    .concat();
    // Messages cut the SPDY anyhow, and frames the messages.
    let (first, rest) = opened.split_at(33);
    let sent =
        [client(0x82, first), client(0x02, &rest[..5]), client(0x89, b""), client(0x80, &rest[5..])].concat();
    let received = [server(0x82, &data(3, false, b"HTTP/1.0 200 OK")), server(0x88, b"")].concat();
    let role = Role::PortData { port: 80, request: 0 };
    for size in [1, 2, 11, 1000] {
        let mut relay = Relay::websocket(Subprotocol::Tunnel, Layout::Ports(Vec::new()), Masks::default());
        let (told, taken) = run(&mut relay, Side::Client, &sent, size);
        assert_eq!((taken, &told.out), (Ok(()), &sent));
        assert_eq!(told.channels, [(role, b"GET / HTTP/1.0\r\n\r\n".to_vec())]);
        assert_eq!(told.closed, [role]);
        let (told, taken) = run(&mut relay, Side::Server, &received, size);
        assert_eq!((taken, &told.out), (Ok(()), &received));
        assert_eq!((told.text(role).as_str(), told.ended), ("HTTP/1.0 200 OK", vec![(Side::Server, None)]));
    }
    let mut relay = Relay::websocket(Subprotocol::Tunnel, Layout::Ports(Vec::new()), Masks::default());
    let (_, taken) = run(&mut relay, Side::Client, &client(0x81, &opened), 1000);
    assert_eq!(taken, Err(StreamError::Channel(ChannelError::Text)));
}
