#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::stream::spdy::tests::{control, data, exec};

/// The streams as `exec` opens them.
const STDIN: u32 = 3;
const STDOUT: u32 = 5;
const STDERR: u32 = 7;

fn relay(masked: bool) -> Relay {
    Relay::spdy(Purpose::Terminal, Masks::new(masked.then(patterns), false))
}

/// A relay over which the client has opened its streams, and what the server's bytes become.
fn served(masked: bool, bytes: &[u8], size: usize) -> (Relay, Told) {
    let mut relay = relay(masked);
    let (opened, taken) = run(&mut relay, Side::Client, &exec(), size);
    assert_eq!((opened.out, taken), (exec(), Ok(())));
    let (told, taken) = run(&mut relay, Side::Server, bytes, size);
    assert_eq!(taken, Ok(()));
    (relay, told)
}

fn reset(stream: u32) -> Vec<u8> {
    control(3, 0, &[stream.to_be_bytes(), 5_u32.to_be_bytes()].concat())
}

const GOAWAY: &[u8] = &[0x80, 3, 0, 7, 0, 0, 0, 8, 0, 0, 0, 7, 0, 0, 0, 0];

#[test]
fn what_goes_on_reads_as_what_came_at_every_chunking() {
    let bytes = [
        data(STDOUT, false, b"total 4\n"),
        control(6, 0, &[0, 0, 0, 1]),
        data(STDERR, true, b"oops\n"),
        data(STDOUT, false, "größer\n".repeat(1000).as_bytes()),
        data(STDOUT, true, b""),
        data(1, true, b"{\"metadata\":{},\"status\":\"Success\"}"),
        GOAWAY.to_vec(),
    ]
    .concat();
    for masked in [false, true] {
        let (_, whole) = served(masked, &bytes, usize::MAX);
        assert!(masked || whole.out == bytes);
        assert_eq!(whole.closed, [Role::Stderr, Role::Stdout, Role::Error]);
        assert_eq!(whole.ended, [(Side::Server, None)]);
        for size in [1, 2, 7, 8, 9, 50, 4000] {
            let (_, pieces) = served(masked, &bytes, size);
            let (_, again) = served(false, &pieces.out, usize::MAX);
            for told in [pieces, again] {
                assert_eq!(
                    (&told.channels, &told.closed),
                    (&whole.channels, &whole.closed),
                    "{masked} {size}"
                );
            }
        }
    }
}

#[test]
fn what_is_typed_passes_and_what_nobody_reads_goes_no_further() {
    let (mut relay, _) = served(false, b"", 1);
    let typed = [data(STDIN, false, b"ls\n"), reset(STDIN), data(STDIN, false, b"late")].concat();
    let (told, taken) = run(&mut relay, Side::Client, &typed, 5);
    assert_eq!((told.text(Role::Stdin).as_str(), taken), ("ls\n", Ok(())));
    assert!(!String::from_utf8_lossy(&told.out).contains("late"));
}

#[test]
fn a_side_ends_a_stream_once() {
    let (client, server) = (Side::Client, Side::Server);
    let ended = |stream| data(stream, true, b"a");
    for (name, frames, expected) in [
        ("reset by the client", vec![(client, reset(STDIN))], Role::Stdin),
        (
            "ended, then reset by the client",
            vec![(client, ended(STDIN)), (client, reset(STDIN))],
            Role::Stdin,
        ),
        (
            "ended, then reset by the server",
            vec![(client, ended(STDIN)), (server, reset(STDIN))],
            Role::Stdin,
        ),
        (
            "ended by the server, then reset by the client",
            vec![(server, ended(STDOUT)), (client, reset(STDOUT))],
            Role::Stdout,
        ),
    ] {
        for masked in [false, true] {
            let (mut relay, _) = served(masked, b"", 1);
            let told = frames.iter().map(|(side, frame)| run(&mut relay, *side, frame, 1000).0);
            let closed: Vec<Role> = told.flat_map(|told| told.closed).collect();
            assert_eq!(closed, [expected], "{name}");
        }
    }
}

#[test]
fn credentials_in_what_is_printed_do_not_reach_the_agent() {
    let bulk = vec![b'x'; 9000];
    let half = |text: &str| data(STDOUT, false, text.as_bytes());
    for (name, bytes, expected) in [
        ("in one frame", half(&format!("key={KEY}\n")), format!("key={MASK}\n")),
        ("in two", [half("key=AKIAIOSF"), half("ODNN7EXAMPLE\n")].concat(), format!("key={MASK}\n")),
        ("in the last", data(STDOUT, true, format!("key={KEY}").as_bytes()), format!("key={MASK}")),
        ("before a reset", [half(&format!("key={KEY}")), reset(STDOUT)].concat(), format!("key={MASK}")),
        (
            "across the end of a long frame",
            [data(STDOUT, false, &[&bulk[..], b" ticket-123"].concat()), half("456\n")].concat(),
            format!("{} {MASK}\n", "x".repeat(9000)),
        ),
    ] {
        for size in [1, 3, 17, 100_000] {
            let (_, told) = served(true, &bytes, size);
            let sees = String::from_utf8_lossy(&told.out).into_owned();
            assert!(!sees.contains("IOSFODNN7E") && !sees.contains("ticket-1"), "{name} {size}: {sees}");
            assert_eq!(told.text(Role::Stdout).replace("AKIA[", "["), expected, "{name} {size}");
            let (_, again) = served(false, &told.out, size);
            assert_eq!(again.channels, told.channels, "{name} {size}");
        }
    }
}

#[test]
fn frames_that_come_together_are_no_pauses() {
    let line = format!("ticket-123456 {KEY}\n");
    let frames: Vec<u8> = line.bytes().flat_map(|byte| data(STDOUT, false, &[byte])).collect();
    let bytes = [frames, control(6, 0, &[0, 0, 0, 1]), data(STDERR, false, b"$ ")].concat();
    let (_, told) = served(true, &bytes, bytes.len());
    assert_eq!(told.text(Role::Stdout), format!("{MASK} {MASK}\n"));
    assert_eq!(told.text(Role::Stderr), "$ ");
}

#[test]
fn what_is_held_back_goes_out_when_the_server_ends_without_a_word() {
    let bulk = data(STDOUT, false, &[&[b'y'; 5000][..], b"ticket-1"].concat());
    let (mut relay, mut told) = served(true, &bulk, 100_000);
    let mut out = std::mem::take(&mut told.out);
    relay.finish(&mut out, &mut |event| told.take(event));
    assert!(told.text(Role::Stdout).ends_with("yticket-1"));
    let (_, again) = served(false, &out, 100_000);
    assert_eq!(again.channels, told.channels);
}

#[test]
fn a_prompt_does_not_wait_for_its_answer() {
    let (_, told) = served(true, &data(STDOUT, false, b"$ "), 3);
    assert_eq!(told.text(Role::Stdout), "$ ");
}
