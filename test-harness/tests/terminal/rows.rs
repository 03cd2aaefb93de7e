//! What is asked of each client.

use crate::client::{Desk, Kind, Outcome};
use anyhow::{Result, ensure};
use std::fmt;

/// How the client's bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    /// Channels, or a tunnel, in WebSocket messages.
    WebSocket,
    /// SPDY/3.1.
    Spdy,
    /// An HTTP response without end.
    Plain,
}

/// What is done.
pub enum Act {
    /// A command, with this on its standard input.
    Run(&'static [&'static str], Vec<u8>),
    /// A command at a terminal of 80 columns and 24 rows; each step is taken once the text before it was seen.
    Terminal(&'static [&'static str], &'static [(&'static str, Step)]),
    /// A file is copied into a pod and back.
    Copy,
    /// A page is got through a forwarded port.
    Forward,
}

/// What a person does at a terminal.
pub enum Step {
    /// Keys.
    Type(&'static str),
    /// Columns and rows.
    Resize(u16, u16),
}

/// What the client must get.
enum Expected {
    /// Text that is part of what it prints.
    Parts(&'static [&'static str]),
    /// Those bytes, so often.
    Random(usize),
    /// The HTTP server's page.
    Page,
    /// So many bytes.
    Bytes(Vec<u8>),
}

/// One case.
pub struct Row {
    name: &'static str,
    /// Who does it.
    pub client: Kind,
    transport: Transport,
    /// What.
    pub act: Act,
    code: i32,
    expected: Expected,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, {:?}: {}", self.client, self.transport, self.name)
    }
}

impl Row {
    /// Whether the client got what it must.
    pub fn check(&self, outcome: &Outcome, desk: &Desk) -> Result<()> {
        let Outcome { code, out, err } = outcome;
        let said = || format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err));
        let brief = || said().chars().take(600).collect::<String>();
        ensure!(*code == self.code, "exit status {code}: {}", brief());
        let right = match &self.expected {
            Expected::Parts(parts) => parts.iter().all(|part| said().contains(part)),
            Expected::Random(times) => *out == desk.random.repeat(*times),
            Expected::Page => *out == desk.page,
            Expected::Bytes(bytes) => *out == bytes,
        };
        ensure!(right, "{} bytes: {}", out.len(), brief());
        Ok(())
    }
}

/// Every row.
pub fn rows() -> Vec<Row> {
    let mut rows = kubectl(Kind::Kubectl, Transport::WebSocket);
    rows.push(Row {
        name: "exec with 50 MiB of output, more than the filter keeps unacknowledged",
        client: Kind::Kubectl,
        transport: Transport::WebSocket,
        act: Act::Run(
            &["exec", "shell", "--", "sh", "-c", "for i in 0 1 2 3 4; do cat {dir}/random; done"],
            Vec::new(),
        ),
        code: 0,
        expected: Expected::Random(5),
    });
    rows.extend(kubectl(Kind::OldKubectl, Transport::Spdy));
    rows.extend(python());
    rows
}

const STREAMS: &str = "printf out; printf err >&2";
const SIZES: &str = "until [ \"$(stty size)\" = '24 80' ]; do sleep 0.02; done; echo small; \
                     until [ \"$(stty size)\" = '40 100' ]; do sleep 0.02; done; echo large";

fn kubectl(client: Kind, transport: Transport) -> Vec<Row> {
    let row = |name, act, code, expected| Row { name, client, transport, act, code, expected };
    let run = |words| Act::Run(words, Vec::new());
    let long: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    vec![
        row("exec", run(&["exec", "shell", "--", "sh", "-c", STREAMS]), 0, Expected::Parts(&["out", "err"])),
        row("exec without output", run(&["exec", "shell", "--", "true"]), 0, Expected::Bytes(Vec::new())),
        row(
            "exec with arguments of every kind",
            run(&["exec", "shell", "--", "printf", "%s|", "a b", "&=+%20", "ü", ""]),
            0,
            Expected::Parts(&["a b|&=+%20|ü||"]),
        ),
        row(
            "exec that fails",
            run(&["exec", "shell", "--", "sh", "-c", "echo before; exit 42"]),
            42,
            Expected::Parts(&["before", "exit code 42"]),
        ),
        row(
            "exec of no program",
            run(&["exec", "shell", "--", "/no/such"]),
            1,
            Expected::Parts(&["cannot exec"]),
        ),
        row(
            "exec with input",
            Act::Run(&["exec", "-i", "shell", "--", "sh", "-c", "read a; echo got $a"], b"a line\n".to_vec()),
            0,
            Expected::Parts(&["got a line"]),
        ),
        row(
            "exec that reads its input to the end",
            Act::Run(&["exec", "-i", "shell", "--", "cat"], long.clone()),
            0,
            Expected::Bytes(long),
        ),
        row(
            "exec with 10 MiB of output",
            run(&["exec", "shell", "--", "cat", "{dir}/random"]),
            0,
            Expected::Random(1),
        ),
        row(
            "exec at a terminal",
            Act::Terminal(
                &["exec", "-it", "shell", "--", "sh", "-c", "tty; read a; echo got $a; exit 3"],
                &[("/dev/pts/", Step::Type("hello\r"))],
            ),
            3,
            Expected::Parts(&["hello\r\n", "got hello\r\n"]),
        ),
        row(
            "exec at a terminal that changes its size",
            Act::Terminal(
                &["exec", "-it", "shell", "--", "sh", "-c", SIZES],
                &[("small", Step::Resize(100, 40))],
            ),
            0,
            Expected::Parts(&["small\r\nlarge\r\n"]),
        ),
        row(
            "exec at a terminal, ended with Ctrl-D",
            Act::Terminal(
                &["exec", "-it", "shell", "--", "sh", "-c", "echo waiting; cat; echo done"],
                &[("waiting", Step::Type("\x04"))],
            ),
            0,
            Expected::Parts(&["waiting\r\n", "done\r\n"]),
        ),
        row(
            "attach",
            Act::Run(&["attach", "-i", "shell"], b"attached\nrest".to_vec()),
            0,
            Expected::Parts(&["hello attached", "oops", "rest"]),
        ),
        Row {
            transport: Transport::Plain,
            ..row(
                "logs, followed",
                run(&["logs", "-f", "talker"]),
                0,
                Expected::Parts(&["line 1 of", "line 40 of"]),
            )
        },
        row("cp, there and back", Act::Copy, 0, Expected::Random(1)),
        row("port-forward", Act::Forward, 0, Expected::Page),
    ]
}

fn python() -> Vec<Row> {
    let row = |name, client, transport, words, code, expected| Row {
        name,
        client,
        transport,
        act: Act::Run(words, Vec::new()),
        code,
        expected,
    };
    use Kind::Python;
    use Transport::{Plain, WebSocket};
    vec![
        row("exec", Python, WebSocket, &["exec"], 0, Expected::Parts(&["out", "err"])),
        row("exec at a terminal", Python, WebSocket, &["tty"], 0, Expected::Parts(&["/dev/pts/", "\r\n"])),
        row("exec that fails", Python, WebSocket, &["fail"], 42, Expected::Parts(&["before"])),
        row("exec with input", Python, WebSocket, &["input"], 0, Expected::Parts(&["got a line"])),
        row(
            "10 MiB of binary output",
            Python,
            WebSocket,
            &["binary", "{dir}/random"],
            0,
            Expected::Random(1),
        ),
        row("logs, followed", Python, Plain, &["logs"], 0, Expected::Parts(&["line 1 of", "line 40 of"])),
        row("port-forward", Python, WebSocket, &["forward", "{port}"], 0, Expected::Page),
    ]
}
