//! What a recorded program may do to the terminal it is played in: print, colour, move the cursor, erase. Whatever
//! else a terminal can be told is left out: to answer, to change its title, to fill the clipboard, to report the mouse.

use crate::present::sanitize::is_unsafe;
use anstyle_parse::{Params, Parser, Perform, Utf8Parser};
use std::fmt::Write as _;

/// Stands for a character that hides or reorders what is read.
const UNSEEN: char = '\u{fffd}';

/// Moving, erasing, inserting, deleting, scrolling, and saving the place.
const ACTIONS: &[u8] = b"@ABCDEFGHJKLMPSTX`dfrsu";

/// Wrapping, the cursor's visibility, the other screen.
const MODES: [u16; 5] = [7, 25, 47, 1047, 1049];

/// Undoes what a recording may have left behind: the other screen, colours, margins, a hidden cursor.
pub(super) const RESTORE: &str = "\x1b[?1049l\x1b[0m\x1b[r\x1b[?25h\r\n";

/// Passes a recording's bytes on as far as they are harmless. Sequences may be split between pieces.
#[derive(Default)]
pub(super) struct Screen {
    parser: Parser<Utf8Parser>,
    out: Out,
}

impl Screen {
    /// What may be printed of the next bytes.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> String {
        for byte in bytes {
            self.parser.advance(&mut self.out, *byte);
        }
        std::mem::take(&mut self.out.0)
    }
}

#[derive(Default)]
struct Out(String);

impl Perform for Out {
    fn print(&mut self, c: char) {
        self.0.push(if is_unsafe(c) { UNSEEN } else { c });
    }

    fn execute(&mut self, byte: u8) {
        if matches!(byte, b'\n' | b'\r' | b'\t' | 0x08) {
            self.0.push(char::from(byte));
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], ignore: bool, action: u8) {
        let allowed = match (intermediates, action) {
            _ if ignore => false,
            ([], b'm') => true,
            ([], action) => ACTIONS.contains(&action),
            ([b'?'], b'h' | b'l') => params.iter().all(|param| param.iter().all(|mode| MODES.contains(mode))),
            _ => false,
        };
        if !allowed {
            return;
        }
        // Concealed text is there, and is not seen.
        let shown =
            params.iter().filter(|param| !(action == b'm' && intermediates.is_empty() && *param == [8]));
        let numbers: Vec<String> =
            shown.map(|param| param.iter().map(ToString::to_string).collect::<Vec<_>>().join(":")).collect();
        if numbers.is_empty() && !params.is_empty() {
            return;
        }
        let private = if intermediates.is_empty() { "" } else { "?" };
        let _ = write!(self.0, "\x1b[{private}{}{}", numbers.join(";"), char::from(action));
    }

    fn esc_dispatch(&mut self, intermediates: &[u8], ignore: bool, byte: u8) {
        match (ignore, intermediates, byte) {
            (false, [], b'7' | b'8' | b'D' | b'E' | b'M') => {
                let _ = write!(self.0, "\x1b{}", char::from(byte));
            }
            // Line drawing, and back.
            (false, [b'('], b'0' | b'B') => {
                let _ = write!(self.0, "\x1b({}", char::from(byte));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_prints_and_does_nothing_else() {
        for (name, played, passed) in [
            ("text", "a\r\nb\tü", "a\r\nb\tü"),
            ("colour", "\x1b[1;31mred\x1b[0m", "\x1b[1;31mred\x1b[0m"),
            ("true colour", "\x1b[38;2;1;2;3mx", "\x1b[38;2;1;2;3mx"),
            ("cursor and erasing", "\x1b[2J\x1b[3;4Hx\x1b[K", "\x1b[2J\x1b[3;4Hx\x1b[0K"),
            ("the other screen", "\x1b[?1049hvi\x1b[?1049l", "\x1b[?1049hvi\x1b[?1049l"),
            ("title", "\x1b]0;pwned\x07x", "x"),
            ("clipboard", "\x1b]52;c;cm0gLXJm\x1b\\x", "x"),
            ("hyperlink", "\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\", "click"),
            ("device attributes", "\x1b[cx\x1b[>c\x1bZ", "x"),
            ("status report", "\x1b[6nx", "x"),
            ("window report", "\x1b[21tx", "x"),
            ("terminal version", "\x1b[>qx", "x"),
            ("request of a setting", "\x1bP$qm\x1b\\x", "x"),
            ("sixel", "\x1bPq#0;2;0;0;0\x1b\\x", "x"),
            ("program command", "\x1b_Ga=T;AAAA\x1b\\x", "x"),
            ("mouse", "\x1b[?1000hx\x1b[?1006h", "x"),
            ("reset", "\x1bcx", "x"),
            ("concealed", "\x1b[8mx", "x"),
            ("bell", "\x07x", "x"),
            ("C1", "\u{9b}6nx", "\u{fffd}6nx"),
            ("bidi and zero width", "a\u{202e}b\u{200b}c", "a\u{fffd}b\u{fffd}c"),
            ("repetition", "x\x1b[99999b", "x"),
        ] {
            assert_eq!(Screen::default().pass(played.as_bytes()), passed, "{name}");
            let mut screen = Screen::default();
            let split: String = played.bytes().map(|byte| screen.pass(&[byte])).collect();
            assert_eq!(split, passed, "{name}, byte by byte");
        }
    }
}
