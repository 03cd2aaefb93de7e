#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::stream::StreamError;

/// A client's frame.
pub(crate) fn client(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    Header { last: true, opcode: Opcode::Binary, length: payload.len() as u64 }.write(&mut frame);
    frame[0] = first;
    frame[1] |= 0x80;
    let mask = [0x12, 0x00, 0xff, 0xa5];
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// A server's frame.
pub(crate) fn server(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    write_frame(Opcode::Binary, &[payload], &mut frame);
    frame[0] = first;
    frame
}

/// What came of it, pieces of a payload joined.
fn run(side: Side, fragments: bool, bytes: &[u8], size: usize) -> (Vec<String>, Option<WebSocketError>) {
    let mut frames = Frames::new(side, fragments);
    let mut told: Vec<String> = Vec::new();
    for chunk in bytes.chunks(size) {
        let taken = frames.take::<StreamError>(chunk, &mut |frame| {
            match frame {
                Frame::Begin(header) => told.push(format!("{:?} ", header.opcode)),
                Frame::Payload(bytes) => told.last_mut().unwrap().push_str(&String::from_utf8_lossy(bytes)),
                Frame::End(last) => told.last_mut().unwrap().push_str(if last { "." } else { "+" }),
                Frame::Control(opcode, bytes) => {
                    let within = told.last().is_some_and(|line| !line.ends_with(['.', '+', '!']));
                    assert!(!within, "a control frame stands between frames");
                    told.push(format!("{opcode:?} {}!", String::from_utf8_lossy(bytes)));
                }
            }
            Ok(())
        });
        if let Err(StreamError::WebSocket(error)) = taken {
            let again = frames.take::<StreamError>(b"more", &mut |_| panic!("after an error"));
            assert_eq!(again, Err(StreamError::WebSocket(error)));
            return (told, Some(error));
        }
    }
    (told, None)
}

#[test]
fn frames_are_read_at_every_chunking() {
    let long = vec![b'x'; 70_000];
    for (name, side, fragments, bytes, expected) in [
        ("bytes", Side::Client, false, client(0x82, b"\0ls\n"), vec!["Binary \0ls\n."]),
        ("text", Side::Client, false, client(0x81, b"0bHMK"), vec!["Text 0bHMK."]),
        ("nothing", Side::Client, false, client(0x82, b""), vec!["Binary ."]),
        (
            "a ping between",
            Side::Client,
            false,
            [client(0x82, b"a"), client(0x89, b"hi"), client(0x82, b"b")].concat(),
            vec!["Binary a.", "Ping hi!", "Binary b."],
        ),
        (
            "a message in pieces, a pong between",
            Side::Server,
            true,
            [server(2, b"\x01ab"), server(0x8a, b""), server(0, b"cd"), server(0x80, b"ef")].concat(),
            vec!["Binary \u{1}ab+", "Pong !", "Continuation cd+", "Continuation ef."],
        ),
        (
            "125 bytes",
            Side::Server,
            true,
            server(0x89, &[b'p'; 125]),
            vec![&*format!("Ping {}!", "p".repeat(125))],
        ),
        ("close", Side::Client, false, client(0x88, b"\x03\xe8bye"), vec!["Close \u{3}\u{fffd}bye!"]),
        ("close without a code", Side::Server, true, server(0x88, b""), vec!["Close !"]),
        (
            "a length of two bytes",
            Side::Server,
            true,
            server(0x82, &long[..300]),
            vec![&*format!("Binary {}.", "x".repeat(300))],
        ),
        (
            "a length of eight bytes",
            Side::Client,
            false,
            client(0x82, &long),
            vec![&*format!("Binary {}.", "x".repeat(70_000))],
        ),
    ] {
        let sizes: &[usize] =
            if bytes.len() > 1000 { &[1, 13, 4096, 100_000] } else { &[1, 2, 3, 5, 8, 1000] };
        for size in sizes {
            let (told, error) = run(side, fragments, &bytes, *size);
            assert_eq!(
                (&told.iter().map(String::as_str).collect::<Vec<_>>(), error),
                (&expected, None),
                "{name} {size}"
            );
        }
    }
}

#[test]
fn what_could_be_read_another_way_ends_the_connection() {
    use WebSocketError::*;
    let length = |side: Side, kind: u8, bytes: &[u8]| {
        let masked = if side == Side::Client { 0x80 } else { 0 };
        [&[0x82, masked | kind][..], bytes, &[0; 4]].concat()
    };
    let (c, s) = (Side::Client, Side::Server);
    for (name, side, bytes, expected) in [
        ("compressed", c, client(0xc2, b"\0ls"), Reserved),
        ("second reserved bit", c, client(0xa2, b"\0ls"), Reserved),
        ("third reserved bit", s, server(0x92, b"\x01x"), Reserved),
        ("opcode 3", c, client(0x83, b"\0ls"), Opcode),
        ("opcode 11", s, server(0x8b, b""), Opcode),
        ("no mask", c, server(0x82, b"\0ls"), Unmasked),
        ("a server's mask", s, client(0x82, b"\x01x"), Masked),
        ("a short length in two bytes", c, length(c, 126, &[0, 5]), Length),
        ("a medium length in eight bytes", c, length(c, 127, &[0, 0, 0, 0, 0, 0, 0xff, 0xff]), Length),
        ("a negative length", c, length(c, 127, &[0x80, 0, 0, 0, 0, 1, 0, 0]), TooLong),
        ("a frame of 1 TiB", s, length(s, 127, &[0, 0, 1, 0, 0, 0, 0, 0]), TooLong),
        ("a ping of 126 bytes", c, client(0x89, &[0; 126]), Length),
        ("a ping in pieces", s, server(0x09, b"a"), Fragment),
        ("a message in pieces", c, client(0x02, b"\0l"), Fragmented),
        ("a continuation of nothing", c, client(0x80, b"\0l"), Fragmented),
        ("a server's continuation of nothing", s, server(0x80, b"x"), Fragment),
        (
            "a message within a message",
            s,
            [server(0x02, b"\x01x"), server(0x82, b"\x01y")].concat(),
            Fragment,
        ),
        ("a close code of one byte", c, client(0x88, b"\x03"), Close),
        ("a close code that is never sent", c, client(0x88, b"\x03\xed"), Close),
        ("a close reason that is no text", c, client(0x88, b"\x03\xe8\xff"), Close),
        ("bytes after close", c, [client(0x88, b""), client(0x82, b"\0x")].concat(), AfterClose),
        ("a close after close", s, [server(0x88, b""), server(0x88, b"")].concat(), AfterClose),
    ] {
        for size in [1, 2, 3, 7, 1000] {
            assert_eq!(run(side, side == s, &bytes, size).1, Some(expected), "{name} {size}");
        }
    }
}

#[test]
fn a_length_that_lies_leaves_a_frame_open() {
    let mut frames = Frames::new(Side::Client, false);
    let frame = client(0x82, b"\0rm -rf /\n");
    let mut seen = Vec::new();
    let taken = frames.take::<StreamError>(&frame[..frame.len() - 3], &mut |frame| {
        if let Frame::Payload(bytes) = frame {
            seen.extend_from_slice(bytes);
        }
        Ok(())
    });
    assert_eq!((taken, frames.whole(), frames.closed()), (Ok(()), false, false));
    assert_eq!(seen, b"\0rm -rf", "what came is handed out, though its frame never ends");
}
