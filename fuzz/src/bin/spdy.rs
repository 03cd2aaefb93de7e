//! Both sides of a SPDY connection: what it is for and how it is cut, a byte each, then pieces of which each has a byte
//! that says whose it is and how long it is. What is made of it must not depend on how it is cut.
#![no_main]

use chaperone_filter::stream::spdy::{Connection, Event, Purpose, Side, SpdyError, data_header};
use chaperone_fuzz::timed;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| timed(data, |data| {
    let [purpose, size, rest @ ..] = data else { return };
    let purpose = if purpose & 1 == 0 { Purpose::Terminal } else { Purpose::PortForward };
    let mut pieces = Vec::new();
    let mut rest = rest;
    while let [head, behind @ ..] = rest {
        let (piece, behind) = behind.split_at(behind.len().min(usize::from(head & 0x7f)));
        pieces.push((if head & 0x80 == 0 { Side::Client } else { Side::Server }, piece));
        rest = behind;
    }
    let (on, outcome) = run(purpose, &pieces, usize::MAX);
    assert_eq!(run(purpose, &pieces, usize::from(*size).max(1)), (on.clone(), outcome));
    // What goes on is read the same again by the next one, as far as this one got.
    let pieces: Vec<(Side, &[u8])> = on.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
    assert_eq!(run(purpose, &pieces, usize::MAX), (on.clone(), Ok(())));
}));

/// What goes on, neighbouring bytes of a stream in one frame.
fn run(
    purpose: Purpose,
    pieces: &[(Side, &[u8])],
    size: usize,
) -> (Vec<(Side, Vec<u8>)>, Result<(), SpdyError>) {
    let mut connection = Connection::new(purpose);
    let mut on: Vec<(Side, Vec<u8>)> = Vec::new();
    let mut open: Option<(Side, u32, Vec<u8>)> = None;
    for (side, bytes) in pieces {
        for chunk in bytes.chunks(size) {
            let taken = connection.take(*side, chunk, &mut |event| match event {
                Event::Data { stream, bytes, last, .. } => {
                    let (_, _, data) = match &mut open {
                        Some(data) if data.0 == *side && data.1 == stream => data,
                        _ => {
                            end(&mut open, false, &mut on);
                            open.insert((*side, stream, Vec::new()))
                        }
                    };
                    data.extend_from_slice(bytes);
                    if last {
                        end(&mut open, true, &mut on);
                    }
                }
                Event::Control(frame) => {
                    end(&mut open, false, &mut on);
                    on.push((*side, frame.to_vec()));
                }
                Event::Open { .. } | Event::Silent { .. } | Event::Reset { .. } => {}
            });
            if let Err(error) = taken {
                end(&mut open, false, &mut on);
                return (on, Err(error));
            }
        }
    }
    end(&mut open, false, &mut on);
    (on, Ok(()))
}

fn end(open: &mut Option<(Side, u32, Vec<u8>)>, last: bool, on: &mut Vec<(Side, Vec<u8>)>) {
    if let Some((side, stream, data)) = open.take() {
        let header = data_header(stream, last, data.len()).expect("short enough");
        on.push((side, [&header[..], &data].concat()));
    }
}
