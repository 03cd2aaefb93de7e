//! Text patterns over what a process prints.

use crate::mask::text::{TextMasker, TextPatterns};
use crate::stream::Role;
use std::rc::Rc;

/// Messages as long come from a process that has more to say: it is read in pieces of that size and above.
const BULK: usize = 4096;

/// What masks stdout and stderr; nothing where no pattern is about exec.
#[derive(Debug, Default)]
pub struct Masks {
    stdout: Option<Channel>,
    stderr: Option<Channel>,
    /// Whether a person may be waiting for every byte.
    terminal: bool,
}

#[derive(Debug)]
struct Channel {
    masker: TextMasker,
    /// Whether the process has paused with the last that came.
    paused: bool,
}

impl Masks {
    /// These patterns; `terminal` where a person may be waiting for every byte.
    pub fn new(patterns: Option<Rc<TextPatterns>>, terminal: bool) -> Self {
        // Who asks may choose where the output ends: `head -c`.
        let channel = || {
            let masker = TextMasker::new(patterns.clone()?).limited();
            Some(Channel { masker, paused: false })
        };
        Self { stdout: channel(), stderr: channel(), terminal }
    }

    /// Whether nothing is masked.
    pub(super) fn is_empty(&self) -> bool {
        self.stdout.is_none()
    }

    /// Whether a channel is masked.
    pub(super) fn masks(&self, role: Role) -> bool {
        matches!(role, Role::Stdout | Role::Stderr) && !self.is_empty()
    }

    fn of(&mut self, role: Role) -> Option<&mut Channel> {
        match role {
            Role::Stdout => self.stdout.as_mut(),
            Role::Stderr => self.stderr.as_mut(),
            _ => None,
        }
    }

    /// Takes bytes and appends what is certain.
    pub(super) fn push(&mut self, role: Role, bytes: &[u8], out: &mut Vec<u8>) {
        match self.of(role) {
            Some(channel) => {
                channel.paused = false;
                channel.masker.push(bytes, out);
            }
            None => out.extend_from_slice(bytes),
        }
    }

    /// A message of so many bytes has ended, and the process may have paused with it.
    pub(super) fn pause(&mut self, role: Role, length: usize, newline: bool) {
        let paused = self.terminal || length < BULK || newline;
        if let Some(channel) = self.of(role) {
            channel.paused = paused;
        }
    }

    /// Nothing else is here. Where the process has paused, what is held back goes out, but for what follows the beginning of
    /// a credential: a prompt must not wait for its answer. It is asked once for all messages that came together, since
    /// each time the whole line is looked through.
    pub(super) fn settle(&mut self, role: Role, out: &mut Vec<u8>) {
        if let Some(channel) = self.of(role).filter(|channel| channel.paused) {
            channel.paused = false;
            channel.masker.flush(out);
        }
    }

    /// The channel has ended: everything goes out.
    pub(super) fn finish(&mut self, role: Role, out: &mut Vec<u8>) {
        if let Some(channel) = self.of(role) {
            channel.paused = false;
            channel.masker.finish(out);
        }
    }

    /// What was masked, by channel and pattern.
    pub(super) fn counts(&self) -> Vec<(String, u64)> {
        [("stdout", &self.stdout), ("stderr", &self.stderr)]
            .into_iter()
            .filter_map(|(name, channel)| Some((name, channel.as_ref()?.masker.counts())))
            .flat_map(|(name, counts)| {
                counts.into_iter().map(move |(pattern, count)| (format!("{name} ({pattern})"), count))
            })
            .collect()
    }
}
