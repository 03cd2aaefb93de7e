//! What a connection is and how it is cut, a byte each, then pieces of either side: a byte for whose and how long, and the
//! piece.
#![no_main]

use chaperone_filter::mask::Replacement;
use chaperone_filter::mask::text::TextPatterns;
use chaperone_filter::stream::channel::{Layout, Subprotocol};
use chaperone_filter::stream::spdy::Purpose;
use chaperone_filter::stream::{Event, Masks, Relay, Side};
use chaperone_fuzz::{cut, timed};
use libfuzzer_sys::fuzz_target;
use std::rc::Rc;

/// What is said of either side, and what goes on.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    client: Vec<u8>,
    server: Vec<u8>,
    out: Vec<u8>,
    broken: bool,
}

fn run(kind: u8, pieces: &[(Side, &[u8])], seed: Option<u8>) -> Told {
    let subprotocol = match kind & 3 {
        0 => Subprotocol::Channels(5),
        1 => Subprotocol::Channels(1),
        2 => Subprotocol::Base64Channels(1),
        _ => Subprotocol::Tunnel,
    };
    let layout = if kind & 4 == 0 { Layout::Terminal } else { Layout::Ports(vec![80, 443]) };
    let names = ["jwt".to_owned(), "pem-private-key".to_owned()];
    let patterns = TextPatterns::new(&names, &[], &Replacement::default()).expect("built-in ones");
    let masks = Masks::new((kind & 8 != 0).then(|| Rc::new(patterns)), kind & 16 != 0);
    let mut relay = match (kind & 32, &layout) {
        (0, _) => Relay::websocket(subprotocol, layout, masks),
        (_, Layout::Terminal) => Relay::spdy(Purpose::Terminal, masks),
        (_, Layout::Ports(_)) => Relay::spdy(Purpose::PortForward, masks),
    };
    let mut told = Told::default();
    for (side, piece) in pieces {
        let chunks: Vec<&[u8]> = match seed {
            Some(seed) => cut(piece, seed).collect(),
            None => vec![piece],
        };
        for chunk in chunks {
            let Told { client, server, out, .. } = &mut told;
            let taken = relay.take(*side, chunk, out, &mut |event| match event {
                Event::Data(Side::Client, _, bytes) => client.extend_from_slice(bytes),
                Event::Data(Side::Server, _, bytes) => server.extend_from_slice(bytes),
                Event::Open(_) | Event::Close(..) | Event::End(..) => {}
            });
            if taken.is_err() {
                told.broken = true;
                // What of the last chunk went on depends on where it was cut.
                told.out.clear();
                return told;
            }
        }
    }
    relay.finish(&mut told.out, &mut |_| {});
    told
}

fuzz_target!(|data: &[u8]| timed(data, |data| {
    let [kind, seed, rest @ ..] = data else { return };
    let (mut rest, mut pieces) = (rest, Vec::new());
    while let Some((first, tail)) = rest.split_first() {
        let length = usize::from(first & 0x7f).min(tail.len());
        let (piece, tail) = tail.split_at(length);
        pieces.push((if first & 0x80 == 0 { Side::Client } else { Side::Server }, piece));
        rest = tail;
    }
    let (whole, pieced) = (run(*kind, &pieces, None), run(*kind, &pieces, Some(*seed)));
    assert_eq!(whole.broken, pieced.broken);
    if whole.broken {
        // What of the last chunk was understood depends on where it was cut.
        assert!(pieced.client.starts_with(&whole.client));
        return;
    }
    assert_eq!(whole.client, pieced.client);
    if kind & 32 != 0 {
        // Data frames are cut where chunks are.
        assert!(kind & 8 != 0 || whole.server == pieced.server);
    } else if kind & 8 == 0 {
        assert_eq!(whole, pieced, "however it is cut");
        let came: Vec<u8> = pieces.iter().flat_map(|(_, piece)| piece.to_vec()).collect();
        assert_eq!(whole.out, came, "what goes on is what came");
    }
}));
