//! A real process, under a terminal where one is asked for.

use std::convert::Infallible;
use std::future::pending;
use std::process::{ExitStatus, Stdio};

use http_body_util::channel;
use hyper::body::Bytes;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::sync::mpsc;

use super::{Channel, Io, Size, Streams};

/// What is read and sent at a time.
const PIECE: usize = 16 * 1024;

/// The command of a pod's first container.
pub(crate) fn main_command(pod: &Value) -> Option<Vec<String>> {
    let words = pod.pointer("/spec/containers/0/command")?.as_array()?;
    Some(words.iter().filter_map(|word| word.as_str().map(str::to_owned)).collect())
}

/// Runs a command until it ends or the client has gone; the last thing it says is a `Status` on the error channel.
pub(super) async fn run(command: Vec<String>, streams: Streams, io: Io) {
    let Io { stdin, sizes, out } = io;
    let ended = async {
        match command.split_first() {
            Some((program, arguments)) if streams.tty => {
                on_terminal(program, arguments, stdin, sizes, &out).await
            }
            Some((program, arguments)) => with_pipes(program, arguments, stdin, streams.stdin, &out).await,
            None => Err(std::io::Error::other("you must specify at least 1 command for the container")),
        }
    };
    let gone = out.clone();
    tokio::select! {
        ended = ended => {
            let status = status(&command, ended).to_string();
            let _ = out.send((Channel::Error, Bytes::from(status))).await;
        }
        () = gone.closed() => {}
    }
}

/// The body of a log that is followed: what the command prints.
pub(crate) fn followed(command: Option<Vec<String>>, text: Bytes) -> channel::Channel<Bytes, Infallible> {
    let (mut sender, body) = channel::Channel::new(16);
    tokio::spawn(async move {
        sender.send_data(text).await.ok()?;
        let mut pieces = printed(command?);
        while let Some(piece) = pieces.recv().await {
            sender.send_data(piece).await.ok()?;
        }
        Some(())
    });
    body
}

/// What a command prints on its standard output, until it ends or nobody reads any more.
pub(super) fn printed(command: Vec<String>) -> mpsc::Receiver<Bytes> {
    let (sender, receiver) = mpsc::channel(16);
    tokio::spawn(async move {
        let (out, mut pieces) = mpsc::channel(16);
        let (_stdin, stdin) = mpsc::channel(1);
        let (_sizes, sizes) = mpsc::channel(1);
        let streams = Streams { stdin: false, stdout: true, stderr: false, tty: false };
        let passing = async {
            while let Some((channel, piece)) = pieces.recv().await {
                if channel == Channel::Stdout && sender.send(piece).await.is_err() {
                    break;
                }
            }
        };
        tokio::select! {
            ((), ()) = async { tokio::join!(run(command, streams, Io { stdin, sizes, out }), passing) } => {}
            () = sender.closed() => {}
        }
    });
    receiver
}

async fn with_pipes(
    program: &str,
    arguments: &[String],
    input: mpsc::Receiver<Bytes>,
    has_input: bool,
    out: &mpsc::Sender<(Channel, Bytes)>,
) -> std::io::Result<ExitStatus> {
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir("/")
        .stdin(if has_input { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let work = async {
        tokio::join!(forward(stdout, Channel::Stdout, out), forward(stderr, Channel::Stderr, out));
        child.wait().await
    };
    tokio::select! {
        ended = work => ended,
        () = feed(stdin, input) => unreachable!("input never ends the process"),
    }
}

async fn on_terminal(
    program: &str,
    arguments: &[String],
    mut input: mpsc::Receiver<Bytes>,
    mut sizes: mpsc::Receiver<Size>,
    out: &mpsc::Sender<(Channel, Bytes)>,
) -> std::io::Result<ExitStatus> {
    let (pty, pts) = pty_process::open().map_err(std::io::Error::other)?;
    let command = pty_process::Command::new(program).args(arguments).current_dir("/").env("TERM", "xterm");
    let mut child = command.kill_on_drop(true).spawn(pts).map_err(std::io::Error::other)?;
    let (read, mut write) = pty.into_split();
    let steer = async {
        loop {
            tokio::select! {
                Some(piece) = input.recv() => { let _ = write.write_all(&piece).await; }
                Some(size) = sizes.recv() => { let _ = write.resize(pty_process::Size::new(size.height, size.width)); }
                else => pending().await,
            }
        }
    };
    let work = async {
        forward(Some(read), Channel::Stdout, out).await;
        child.wait().await
    };
    tokio::select! {
        ended = work => ended,
        () = steer => unreachable!("steering never ends"),
    }
}

/// Passes on what the process says, to its end. A terminal ends with an error.
async fn forward(
    source: Option<impl AsyncRead + Unpin>,
    channel: Channel,
    out: &mpsc::Sender<(Channel, Bytes)>,
) {
    let Some(mut source) = source else { return };
    let mut piece = vec![0; PIECE];
    while let Ok(count @ 1..) = source.read(&mut piece).await {
        if out.send((channel, Bytes::copy_from_slice(&piece[..count]))).await.is_err() {
            return;
        }
    }
}

/// Gives the process its input, and closes it where the client does.
async fn feed(sink: Option<impl AsyncWrite + Unpin>, mut input: mpsc::Receiver<Bytes>) {
    if let Some(mut sink) = sink {
        while let Some(piece) = input.recv().await {
            if sink.write_all(&piece).await.is_err() {
                break;
            }
        }
    }
    // What the process does not read is lost, as in a pipe to a program that has ended.
    while input.recv().await.is_some() {}
    pending().await
}

/// How it ended, as the container runtime's shim tells it.
fn status(command: &[String], ended: std::io::Result<ExitStatus>) -> Value {
    let failure = |reason: &str, message: String, details: Value| json!({"metadata": {}, "status": "Failure", "message": message, "reason": reason, "details": details});
    match ended.map(|status| status.code().unwrap_or(137)) {
        Ok(0) => json!({"metadata": {}, "status": "Success"}),
        Ok(code) => {
            let causes = json!({"causes": [{"reason": "ExitCode", "message": code.to_string()}]});
            failure(
                "NonZeroExitCode",
                format!("command terminated with non-zero exit code: exit status {code}"),
                causes,
            )
        }
        Err(error) => {
            let mut status =
                failure("InternalError", format!("cannot exec {}: {error}", command.join(" ")), json!({}));
            status["code"] = json!(500);
            status
        }
    }
}
