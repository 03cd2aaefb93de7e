//! SPDY on its own.

use super::Masks;
use crate::stream::spdy::{self, Connection, Purpose, data_header, is_goodbye};
use crate::stream::{Event, Role, Side, StreamError};

/// Both sides of a connection. The bytes of streams go on in frames that are written anew: what nobody would read, of a
/// stream that was given up, goes no further.
pub(super) struct Spdy {
    connection: Connection,
    masks: Masks,
    frame: Option<Frame>,
    /// The streams of stdout and stderr, as long as the server writes to them.
    masked: Vec<(u32, Role)>,
}

/// The server's data frame that is being read, of a masked stream.
struct Frame {
    stream: u32,
    role: Role,
    length: usize,
    newline: bool,
}

impl Spdy {
    pub(super) fn new(purpose: Purpose, masks: Masks) -> Self {
        Self { connection: Connection::new(purpose), masks, frame: None, masked: Vec::new() }
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
        let Self { connection, masks, frame, masked } = self;
        let mut anew = Anew { masks, frame, masked, continues: true, out, see };
        connection.take(side, bytes, &mut |event| anew.event(side, event))?;
        if side == Side::Server {
            if !connection.within_data(side) {
                anew.pause();
            }
            anew.settle();
        }
        Ok(())
    }

    /// The server sends nothing more.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>, see: &mut dyn FnMut(Event<'_>)) {
        let Self { masks, frame, masked, .. } = self;
        let mut anew = Anew { masks, frame, masked, continues: false, out, see };
        while let Some((stream, role)) = anew.masked.pop() {
            anew.rest(stream, role);
        }
    }
}

struct Anew<'m, 's> {
    masks: &'m mut Masks,
    frame: &'m mut Option<Frame>,
    masked: &'m mut Vec<(u32, Role)>,
    /// Whether what comes next may belong to the frame that was being read before.
    continues: bool,
    out: &'m mut Vec<u8>,
    see: &'m mut (dyn FnMut(Event<'_>) + 's),
}

impl Anew<'_, '_> {
    fn event(&mut self, side: Side, event: spdy::Event<'_>) {
        if side == Side::Client {
            return self.as_it_is(side, event);
        }
        match event {
            spdy::Event::Data { stream, role, bytes, last } if self.masks.masks(role) => {
                self.data(stream, role, bytes, last);
            }
            spdy::Event::Reset { stream, role, .. } if self.masks.masks(role) => {
                self.pause();
                self.rest(stream, role);
                tell(side, event, self.see);
            }
            spdy::Event::Control(_) => self.as_it_is(side, event),
            _ => {
                self.pause();
                self.settle();
                self.as_it_is(side, event);
            }
        }
    }

    fn as_it_is(&mut self, side: Side, event: spdy::Event<'_>) {
        match event {
            spdy::Event::Control(frame) => self.out.extend_from_slice(frame),
            spdy::Event::Data { stream, bytes, last, .. } => write(stream, bytes, last, self.out),
            _ => {}
        }
        tell(side, event, self.see);
    }

    fn data(&mut self, stream: u32, role: Role, bytes: &[u8], last: bool) {
        let continues = std::mem::take(&mut self.continues);
        if !(continues && self.frame.as_ref().is_some_and(|frame| frame.stream == stream)) {
            self.pause();
        }
        if !self.masked.contains(&(stream, role)) {
            self.masked.push((stream, role));
        }
        let mut certain = Vec::with_capacity(bytes.len());
        self.masks.push(role, bytes, &mut certain);
        if last {
            *self.frame = None;
            self.masked.retain(|(known, _)| *known != stream);
            self.masks.finish(role, &mut certain);
        } else {
            let before = self.frame.take().map_or(0, |frame| frame.length);
            let newline = bytes.last() == Some(&b'\n');
            *self.frame = Some(Frame { stream, role, length: before.saturating_add(bytes.len()), newline });
        }
        if last || !certain.is_empty() {
            write(stream, &certain, last, self.out);
            tell(Side::Server, spdy::Event::Data { stream, role, bytes: &certain, last }, self.see);
        }
    }

    /// The frame that was being read has ended.
    fn pause(&mut self) {
        self.continues = false;
        let Some(Frame { role, length, newline, .. }) = self.frame.take() else { return };
        self.masks.pause(role, length, newline);
    }

    /// Nothing else is here, or what is here must come behind.
    fn settle(&mut self) {
        // Of two streams that were to be the same, the later counts.
        for (stream, role) in self.masked.clone().into_iter().rev() {
            let mut rest = Vec::new();
            self.masks.settle(role, &mut rest);
            self.put(stream, role, &rest);
        }
    }

    /// The stream has ended.
    fn rest(&mut self, stream: u32, role: Role) {
        *self.frame = None;
        self.masked.retain(|(known, _)| *known != stream);
        let mut rest = Vec::new();
        self.masks.finish(role, &mut rest);
        self.put(stream, role, &rest);
    }

    fn put(&mut self, stream: u32, role: Role, bytes: &[u8]) {
        if !bytes.is_empty() {
            write(stream, bytes, false, self.out);
            (self.see)(Event::Data(Side::Server, role, bytes));
        }
    }
}

/// Writes a data frame. None is as long as a chunk can be.
fn write(stream: u32, bytes: &[u8], last: bool, out: &mut Vec<u8>) {
    if let Some(header) = data_header(stream, last, bytes.len()) {
        out.extend_from_slice(&header);
        out.extend_from_slice(bytes);
    }
}

/// What an event of SPDY says.
pub(super) fn tell(side: Side, event: spdy::Event<'_>, see: &mut dyn FnMut(Event<'_>)) {
    let mut close = |side, role: Role| {
        if role.may_send(side) {
            see(Event::Close(side, role));
        }
    };
    match event {
        spdy::Event::Control(frame) => {
            if is_goodbye(frame) {
                see(Event::End(side, None));
            }
        }
        spdy::Event::Open { role, .. } => {
            if matches!(role, Role::PortData { .. }) {
                see(Event::Open(role));
            }
        }
        spdy::Event::Data { role, bytes, last, .. } => {
            if !bytes.is_empty() {
                see(Event::Data(side, role, bytes));
            }
            if last && role.may_send(side) {
                see(Event::Close(side, role));
            }
        }
        spdy::Event::Silent { role, .. } => close(side, role),
        spdy::Event::Reset { role, ended, .. } => {
            for side in [Side::Client, Side::Server] {
                if ended != Some(side) {
                    close(side, role);
                }
            }
        }
    }
}
