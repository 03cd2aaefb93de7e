#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::stream::StreamError;

/// Reads messages, each cut into pieces of `size`.
fn read(
    channels: &mut Channels,
    messages: &[&[u8]],
    size: usize,
) -> (Vec<(Role, Vec<u8>)>, Option<ChannelError>) {
    let mut heard: Vec<(Role, Vec<u8>)> = Vec::new();
    for message in messages {
        channels.begin();
        let mut cut = message.chunks(size).try_for_each(|piece| {
            channels.take::<StreamError>(piece, &mut |one| {
                match one {
                    Heard::Data(role, bytes) => match heard.last_mut() {
                        Some((last, all)) if *last == role => all.extend_from_slice(bytes),
                        _ => heard.push((role, bytes.to_vec())),
                    },
                    Heard::Close(role) => heard.push((role, b"closed".to_vec())),
                }
                Ok(())
            })
        });
        if cut.is_ok() {
            cut = channels.end().map_err(StreamError::from);
        }
        if let Err(StreamError::Channel(error)) = cut {
            return (heard, Some(error));
        }
    }
    (heard, None)
}

#[test]
fn messages_are_read_at_every_chunking() {
    use Subprotocol::*;
    let ports = Layout::Ports(vec![80, 8443]);
    let data = |port, request| Role::PortData { port, request };
    for (name, side, subprotocol, layout, messages, expected) in [
        (
            "typed, resized and ended",
            Side::Client,
            Channels(5),
            Layout::Terminal,
            vec![&b"\x00ls\x00\x1b[A"[..], b"\x04{\"Width\":80,\"Height\":24}", b"\xff\x00", b""],
            vec![
                (Role::Stdin, &b"ls\x00\x1b[A"[..]),
                (Role::Resize, b"{\"Width\":80,\"Height\":24}"),
                (Role::Stdin, b"closed"),
            ],
        ),
        (
            "that a channel is there",
            Side::Server,
            Channels(4),
            Layout::Terminal,
            vec![b"\x01", b"\x02", b"\x03"],
            vec![],
        ),
        (
            "printed, as text",
            Side::Server,
            Base64Channels(1),
            Layout::Terminal,
            vec![b"1YQ==", b"2b2g=", b"1", b"3e30K"],
            vec![(Role::Stdout, b"a"), (Role::Stderr, b"oh"), (Role::Error, b"{}\n")],
        ),
        (
            "ports, whose numbers come first",
            Side::Server,
            Channels(4),
            ports.clone(),
            vec![b"\x00\x50\x00", b"\x01\x50\x00", b"\x02\xfb", b"\x02\x20hello", b"\x03\xfb\x20refused"],
            vec![(data(8443, 1), b"hello"), (Role::PortError { port: 8443, request: 1 }, b"refused")],
        ),
        (
            "to a port",
            Side::Client,
            Channels(4),
            ports.clone(),
            vec![b"\x00GET /"],
            vec![(data(80, 0), b"GET /")],
        ),
        (
            "to a port, as text",
            Side::Client,
            Base64Channels(4),
            ports.clone(),
            vec![b"2R0VUIC8="],
            vec![(data(8443, 1), b"GET /")],
        ),
    ] {
        for size in [1, 2, 3, 5, 1000] {
            let mut channels = super::Channels::new(side, subprotocol, layout.clone());
            let (heard, error) = read(&mut channels, &messages, size);
            let heard: Vec<(Role, &[u8])> = heard.iter().map(|(role, bytes)| (*role, &bytes[..])).collect();
            assert_eq!((heard, error), (expected.clone(), None), "{name} {size}");
        }
    }
}

#[test]
fn what_a_server_would_pass_over_ends_the_connection() {
    use ChannelError::*;
    let (c, s) = (Side::Client, Side::Server);
    let (v5, v4, text) = (Subprotocol::Channels(5), Subprotocol::Channels(4), Subprotocol::Base64Channels(1));
    for (name, side, subprotocol, message, expected) in [
        ("channel 5", c, v5, &b"\x05x"[..], Number),
        ("a channel below 0", c, text, b"/eA==", Number),
        ("channel 9", c, text, b"9eA==", Number),
        ("255 before v5", c, v4, b"\xff\x00", Number),
        ("stdout, by the client", c, v5, b"\x01x", Direction),
        ("the end, by the client", c, v5, b"\x03{}", Direction),
        ("stdin, by the server", s, v5, b"\x00x", Direction),
        ("a size, by the server", s, v5, b"\x04{}", Direction),
        ("the end of nothing", c, v5, b"\xff", Close),
        ("the end of two", c, v5, b"\xff\x00\x00", Close),
        ("the end of channel 9", c, v5, b"\xff\x09", Close),
        ("the end of stdout, by the client", c, v5, b"\xff\x01", Close),
        ("half a group", c, text, b"0eHg", Base64),
        ("a line break", c, text, b"0eA\n==", Base64),
        ("more after the padding", c, text, b"0eA==eA==", Base64),
        ("odd last bits", c, text, b"0eB==", Base64),
        ("the other alphabet", c, text, b"0_-_-", Base64),
    ] {
        for size in [1, 2, 3, 1000] {
            let mut channels = super::Channels::new(side, subprotocol, Layout::Terminal);
            assert_eq!(read(&mut channels, &[message], size).1, Some(expected), "{name} {size}");
        }
    }
}
