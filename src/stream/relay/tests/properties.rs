//! Whatever comes: no chunking changes what it means, nothing panics, and what goes on is what came.

use super::*;
use proptest::prelude::*;

/// Frames of a client or server, most of them well-formed, some cut, changed or made up.
fn bytes(side: Side) -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![8 => Just(0x82_u8), 2 => Just(0x81), 1 => Just(0x02), 1 => Just(0x80), 1 => Just(0x89), 1 => any::<u8>()];
    let number = prop_oneof![8 => 0_u8..5, 1 => b'0'..b'5', 1 => any::<u8>()];
    let frame =
        (first, number, prop::collection::vec(any::<u8>(), 0..200)).prop_map(move |(first, number, rest)| {
            let payload = [&[number][..], &rest].concat();
            if side == Side::Client { client(first, &payload) } else { server(first, &payload) }
        });
    let frame = prop_oneof![9 => frame, 1 => prop::collection::vec(any::<u8>(), 0..20)];
    prop::collection::vec(frame, 0..12).prop_map(|frames| frames.concat())
}

fn relays() -> impl Strategy<Value = (Subprotocol, Layout, bool)> {
    let subprotocol = prop_oneof![
        Just(Subprotocol::Channels(5)),
        Just(Subprotocol::Channels(1)),
        Just(Subprotocol::Base64Channels(1)),
        Just(Subprotocol::Tunnel),
    ];
    let layout = prop_oneof![2 => Just(Layout::Terminal), 1 => Just(Layout::Ports(vec![80, 443]))];
    (subprotocol, layout, any::<bool>())
}

proptest! {
    #[test]
    fn chunking_changes_nothing(
        (subprotocol, layout, masked) in relays(),
        (side, bytes) in prop_oneof![Just(Side::Client), Just(Side::Server)].prop_flat_map(|side| (Just(side), bytes(side))),
        size in 1_usize..300,
    ) {
        let relay = || Relay::websocket(subprotocol, layout.clone(), Masks::new(masked.then(patterns), true));
        let (mut whole, one) = run(&mut relay(), side, &bytes, usize::MAX);
        let (mut cut, two) = run(&mut relay(), side, &bytes, size);
        prop_assert_eq!(one, two);
        // What is held back goes out with a pause, which an error leaves no time for, and stdout's before stderr's.
        let held = masked && side == Side::Server;
        if held {
            whole.channels.sort();
            cut.channels.sort();
        }
        if one.is_ok() || !held {
            prop_assert_eq!(&whole.channels, &cut.channels);
        }
        prop_assert_eq!((&whole.closed, &whole.ended), (&cut.closed, &cut.ended));
        if one.is_ok() && !held {
            prop_assert_eq!(whole.out, bytes);
        }
    }
}
