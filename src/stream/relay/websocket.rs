//! Channels in the messages of a WebSocket connection.

use super::Masks;
use crate::stream::channel::{Channels, Encoding, Heard, Layout, Place, Subprotocol};
use crate::stream::websocket::{Frame, Frames, Header, Opcode, close_code, write_frame};
use crate::stream::{Event, Role, Side, StreamError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Both sides of a connection.
pub(super) struct Messages {
    client: Half,
    server: Half,
    masks: Masks,
    route: Route,
    writer: Writer,
}

struct Half {
    frames: Frames,
    channels: Channels,
}

/// How the server's current message goes on.
#[derive(Clone, Copy)]
enum Route {
    /// That is not known before its first byte; its header waits.
    Unknown(Header),
    /// As it came.
    AsItIs,
    /// Masked, and written anew. So many bytes came; whether the last ends a line.
    Masked { role: Role, number: u8, length: usize, newline: bool },
}

/// Writes the messages of masked channels.
struct Writer {
    encoding: Encoding,
}

impl Messages {
    pub(super) fn new(subprotocol: Subprotocol, layout: Layout, masks: Masks) -> Self {
        let half = |side| Half {
            // The API server takes each frame of a client's for a message; clients put the server's together.
            frames: Frames::new(side, side == Side::Server),
            channels: Channels::new(side, subprotocol, layout.clone()),
        };
        Self {
            client: half(Side::Client),
            server: half(Side::Server),
            masks,
            route: Route::AsItIs,
            writer: Writer { encoding: subprotocol.encoding() },
        }
    }

    pub(super) fn masks(&self) -> &Masks {
        &self.masks
    }

    pub(super) fn take(
        &mut self,
        side: Side,
        bytes: &[u8],
        out: &mut Vec<u8>,
        see: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), StreamError> {
        let Self { client, server, masks, route, writer } = self;
        match side {
            Side::Server if !masks.is_empty() => {
                let Half { frames, channels } = server;
                let mut anew = Anew { channels, masks, route, writer, out, see };
                frames.take(bytes, &mut |frame| anew.frame(frame))?;
                anew.writer.settle(anew.masks, anew.out, anew.see);
                Ok(())
            }
            Side::Client | Side::Server => {
                let Half { frames, channels } = if side == Side::Client { client } else { server };
                frames.take(bytes, &mut |frame| observe(side, channels, frame, see))?;
                out.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>, see: &mut dyn FnMut(Event<'_>)) {
        // Within a message that passes as it is, nothing can be put.
        if !self.server.frames.closed()
            && (self.server.frames.whole() || matches!(self.route, Route::Masked { .. }))
        {
            self.writer.finish(&mut self.masks, out, see);
        }
    }
}

/// What a frame that passes as it is says.
fn observe(
    side: Side,
    channels: &mut Channels,
    frame: Frame<'_>,
    see: &mut dyn FnMut(Event<'_>),
) -> Result<(), StreamError> {
    match frame {
        Frame::Begin(header) => {
            if header.opcode != Opcode::Continuation {
                channels.begin();
            }
            Ok(())
        }
        Frame::Payload(bytes) => channels.take(bytes, &mut |heard| {
            see(match heard {
                Heard::Data(role, bytes) => Event::Data(side, role, bytes),
                Heard::Close(role) => Event::Close(side, role),
            });
            Ok(())
        }),
        Frame::End(true) => Ok(channels.end()?),
        Frame::Control(Opcode::Close, payload) => {
            see(Event::End(side, close_code(payload)));
            Ok(())
        }
        Frame::End(false) | Frame::Control(..) => Ok(()),
    }
}

/// The server's frames on their way through the masks.
struct Anew<'m, 's> {
    channels: &'m mut Channels,
    masks: &'m mut Masks,
    route: &'m mut Route,
    writer: &'m Writer,
    out: &'m mut Vec<u8>,
    see: &'m mut (dyn FnMut(Event<'_>) + 's),
}

impl Anew<'_, '_> {
    fn frame(&mut self, frame: Frame<'_>) -> Result<(), StreamError> {
        match frame {
            Frame::Begin(header) => match (header.opcode, *self.route) {
                (Opcode::Continuation, Route::Masked { .. }) => {}
                (Opcode::Continuation, Route::AsItIs) => header.write(self.out),
                (Opcode::Continuation, Route::Unknown(first)) => {
                    // Its frames so far were empty: the message may as well begin here.
                    *self.route = Route::Unknown(Header { opcode: first.opcode, ..header });
                }
                _ => {
                    self.channels.begin();
                    *self.route = Route::Unknown(header);
                }
            },
            Frame::Payload(bytes) => self.payload(bytes)?,
            Frame::End(last) => self.end(last)?,
            Frame::Control(opcode, payload) => {
                if opcode == Opcode::Close {
                    self.writer.finish(self.masks, self.out, self.see);
                    (self.see)(Event::End(Side::Server, close_code(payload)));
                }
                write_frame(opcode, &[payload], self.out);
            }
        }
        Ok(())
    }

    fn payload(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        let mut masked = Vec::new();
        let (masks, see, route) = (&mut *self.masks, &mut *self.see, &mut *self.route);
        let (writer, out) = (self.writer, &mut *self.out);
        let mut length_now: usize = 0;
        let mut newline_now = None;
        self.channels.take::<StreamError>(bytes, &mut |heard| {
            match heard {
                Heard::Data(role, bytes) if masks.masks(role) => {
                    length_now = length_now.saturating_add(bytes.len());
                    newline_now = bytes.last().map(|byte| *byte == b'\n');
                    masks.push(role, bytes, &mut masked);
                }
                heard => {
                    // What was printed before comes before, and within this message nothing can be put any more.
                    writer.settle(masks, out, see);
                    see(match heard {
                        Heard::Data(role, bytes) => Event::Data(Side::Server, role, bytes),
                        Heard::Close(role) => Event::Close(Side::Server, role),
                    });
                }
            }
            Ok(())
        })?;
        if let Route::Unknown(header) = *route {
            *route = match self.channels.place() {
                Place::Within(role, number) if masks.masks(role) => {
                    Route::Masked { role, number, length: 0, newline: false }
                }
                _ => {
                    writer.settle(masks, out, see);
                    header.write(out);
                    Route::AsItIs
                }
            };
        }
        match route {
            Route::Masked { role, number, length, newline } => {
                *length = length.saturating_add(length_now);
                *newline = newline_now.unwrap_or(*newline);
                writer.write(*role, *number, &masked, out, see);
            }
            Route::AsItIs | Route::Unknown(_) => out.extend_from_slice(bytes),
        }
        Ok(())
    }

    fn end(&mut self, last: bool) -> Result<(), StreamError> {
        if !last {
            return Ok(());
        }
        self.channels.end()?;
        match *self.route {
            Route::Unknown(header) => header.write(self.out),
            Route::AsItIs => {}
            // That the channel is there is all it says.
            Route::Masked { number, length: 0, .. } => {
                write_frame(self.writer.opcode(), &[&[number]], self.out)
            }
            Route::Masked { role, length, newline, .. } => self.masks.pause(role, length, newline),
        }
        *self.route = Route::AsItIs;
        Ok(())
    }
}

impl Writer {
    fn opcode(&self) -> Opcode {
        match self.encoding {
            Encoding::Binary => Opcode::Binary,
            Encoding::Base64 => Opcode::Text,
        }
    }

    /// Writes what of a channel goes on, if anything does.
    fn write(
        &self,
        role: Role,
        number: u8,
        bytes: &[u8],
        out: &mut Vec<u8>,
        see: &mut (dyn FnMut(Event<'_>) + '_),
    ) {
        if bytes.is_empty() {
            return;
        }
        match self.encoding {
            Encoding::Binary => write_frame(Opcode::Binary, &[&[number], bytes], out),
            Encoding::Base64 => {
                write_frame(Opcode::Text, &[&[number], STANDARD.encode(bytes).as_bytes()], out);
            }
        }
        see(Event::Data(Side::Server, role, bytes));
    }

    /// Writes what the masks hold back of processes that have paused.
    fn settle(&self, masks: &mut Masks, out: &mut Vec<u8>, see: &mut (dyn FnMut(Event<'_>) + '_)) {
        self.rest(out, see, |role, rest| masks.settle(role, rest));
    }

    /// Writes what the masks hold back.
    fn finish(&self, masks: &mut Masks, out: &mut Vec<u8>, see: &mut (dyn FnMut(Event<'_>) + '_)) {
        self.rest(out, see, |role, rest| masks.finish(role, rest));
    }

    fn rest(
        &self,
        out: &mut Vec<u8>,
        see: &mut (dyn FnMut(Event<'_>) + '_),
        mut held: impl FnMut(Role, &mut Vec<u8>),
    ) {
        let first = if self.encoding == Encoding::Base64 { b'0' } else { 0 };
        for (role, number) in [(Role::Stdout, 1), (Role::Stderr, 2)] {
            let mut rest = Vec::new();
            held(role, &mut rest);
            self.write(role, first | number, &rest, out, see);
        }
    }
}
