//! The command line.

mod access;
mod bodies;
mod callers;
mod client;
mod completions;
mod config;
mod evidence;
mod follow;
mod forward;
mod keygen;
mod output;
mod progress;
mod read;
mod reconcile;
mod replay;
mod retention;
mod serve;
mod source;
mod token;
mod tui;
mod unseal;
mod verify;

use crate::export::ExportError;
use crate::store::{Database, UnknownDatabase};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;

/// Receives, keeps, verifies and shows what AI agents did at the Kubernetes API.
#[derive(Parser)]
#[command(name = "chaperone", version, arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the collector: take records from filters and serve them to auditors.
    #[command(
        after_help = "Example:\n  CHAPERONE_COLLECTOR_TOKEN=… chaperone serve --database records.db --public-key public-keys.json"
    )]
    Serve(Box<serve::Arguments>),
    /// List sessions, the newest first: all, or those with an exchange that the options describe.
    #[command(after_help = "Examples:\n  chaperone sessions --user alice --since 2h\n  \
        chaperone sessions --namespace payments --verb delete --decision refused -o json")]
    Sessions(read::SessionsArguments),
    /// Find exchanges by the words in their requests and responses, and by what the options describe; the newest first.
    #[command(
        after_help = "Words are letters and digits, upper and lower case alike; all must be there, in any order. \
        `pass*` finds every word that begins so.\n\nExamples:\n  chaperone search payments db-password --since 7d\n  \
        chaperone search --resource pods/exec --status 101\n  chaperone search 'crash*' --agent claude-code -o yaml"
    )]
    Search(read::SearchArguments),
    /// Show one exchange in full, with its bodies.
    #[command(after_help = "Examples:\n  chaperone show 0199f0a2-7e3b-7c11-8d52-000000000001\n  \
        chaperone show 0199f0a2-7e3b-7c11-8d52-000000000001 --server https://collector.example.com --token-file token")]
    Show(read::ShowArguments),
    /// Tell a session step by step.
    #[command(after_help = "Examples:\n  chaperone replay 7d9c --database records.db --bodies | less -R\n  \
        chaperone replay 7d9c --speed 10 --max-idle 1s\n  \
        chaperone replay 7d9c --follow --server https://collector.example.com --token-file token\n  \
        chaperone replay 7d9c --serve 127.0.0.1:8001 --write-kubeconfig replay.yaml")]
    Replay(replay::Arguments),
    /// Browse sessions and their steps on the whole screen.
    #[command(
        after_help = "Examples:\n  chaperone tui\n  chaperone tui 7d9c --server https://collector.example.com --token-file token"
    )]
    Tui(tui::Arguments),
    /// List recorders: one for each worker of a proxy, with how it stands.
    #[command(after_help = "Example:\n  chaperone recorders -o yaml")]
    Recorders(read::RecordersArguments),
    /// Check every signature and chain of a database, an export or a session.
    #[command(
        after_help = "Exit status: 0 all is well, 1 something is wrong, 2 it could not be checked (also without --public-key).\n\n\
        Examples:\n  chaperone verify --database records.db --public-key public-keys.json --checkpoint monday.json\n  \
        chaperone verify incident.jsonl --public-key public-keys.json\n  \
        chaperone verify --server https://collector.example.com --token-file token --public-key public-keys.json"
    )]
    Verify(verify::Arguments),
    /// Print the signed heads of all recorders, to be kept where the collector cannot reach.
    #[command(after_help = "Example:\n  chaperone checkpoint > monday.json")]
    Checkpoint(evidence::CheckpointArguments),
    /// Write records to a file: one that anybody with the public key can verify, or in the format of another program.
    #[command(
        after_help = "Whole batches are written as they came, with all from the first to the last of each recorder: they may \
        tell of other sessions too.\n\nExamples:\n  chaperone export --session 7d9c --out incident.jsonl\n  \
        chaperone export --session 7d9c --format har --out incident.har\n  \
        chaperone export --since 1h --format ocsf\n  \
        chaperone export --server https://collector.example.com --token-file token --out records.jsonl"
    )]
    Export(evidence::ExportArguments),
    /// Compare the API server's audit log with the records: what went around the gateway, what was never logged.
    #[command(
        after_help = "Exit status: 0 both tell of the same requests, 1 they do not, 2 it could not be compared.\n\nExample:\n  \
        chaperone reconcile /var/log/kubernetes/audit.log --user system:serviceaccount:chaperone:gateway"
    )]
    Reconcile(reconcile::Arguments),
    /// Show what was masked in an exchange, to who holds the key it was sealed to.
    #[command(
        after_help = "Example:\n  chaperone unseal 0199f0a2-7e3b-7c11-8d52-000000000001 --key unsealing-key.pem"
    )]
    Unseal(unseal::Arguments),
    /// Make, list and revoke the tokens that filters and people use the collector with.
    #[command(
        after_help = "Examples:\n  chaperone token create --role auditor --name alice > token\n  chaperone token list"
    )]
    Token {
        #[command(subcommand)]
        command: token::Command,
    },
    /// Tell who read what over HTTP, the newest first.
    #[command(after_help = "Example:\n  chaperone access-log --since 7d -o json")]
    AccessLog(token::LogArguments),
    /// Prune what is older than an age from the heads of all chains, and leave signed tombstones.
    #[command(after_help = "Examples:\n  chaperone prune --older-than 90d --dry-run\n  \
        chaperone prune --older-than 90d --tombstone-key pruning/signing-key.pem")]
    Prune(retention::PruneArguments),
    /// Hold a session, so that it is never pruned; or list what is held.
    #[command(after_help = "Examples:\n  chaperone hold 7d9c\n  chaperone hold 7d9c --release")]
    Hold(retention::HoldArguments),
    /// Check a filter's configuration as the filter itself does.
    #[command(
        after_help = "Exit status: 0 it is good, 1 it is not, 2 it could not be read.\n\nExamples:\n  \
        chaperone config check filter.yaml\n  chaperone config check wasmplugin.yaml"
    )]
    Config {
        #[command(subcommand)]
        command: config::Command,
    },
    /// Print what makes a shell complete this program's commands and options.
    #[command(after_help = "Examples:\n  chaperone completions bash > chaperone.bash\n  \
        chaperone completions zsh > _chaperone\n  chaperone completions fish > chaperone.fish")]
    Completions(completions::Arguments),
    /// Make a key for a filter to sign its records with, or for an auditor to unseal originals with.
    #[command(
        after_help = "Examples:\n  chaperone keygen --out gateway\n  chaperone keygen --sealing --out auditor"
    )]
    Keygen(keygen::Arguments),
}

/// The database that a command works on.
#[derive(Args)]
struct DatabaseArguments {
    /// The collector's database: a file, sqlite://FILE or postgres://USER@HOST/NAME. It may be in use by running collectors.
    #[arg(long, short, env = "CHAPERONE_DATABASE", hide_env_values = true, default_value = "chaperone.db", value_parser = database)]
    database: Database,
    #[command(flatten)]
    bodies: bodies::BodiesArguments,
}

/// How a command prints.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For scripts.
    Json,
    /// The same as YAML.
    Yaml,
}

fn database(text: &str) -> Result<Database, UnknownDatabase> {
    text.parse()
}

/// Why a command failed, for the person who ran it.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    #[error(transparent)]
    Start(#[from] crate::server::StartError),
    #[error("{path}: {source}", path = path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{path}: {source}", path = path.display())]
    Key { path: PathBuf, source: crate::evidence::keys::KeyError },
    #[error("{path}: {source}", path = path.display())]
    Bundle { path: PathBuf, source: crate::evidence::bundle::BundleError },
    #[error("{path}: not a checkpoint", path = path.display())]
    Checkpoint { path: PathBuf },
    #[error("{what}: {source}")]
    Sealing { what: String, source: crate::evidence::sealing::SealingError },
    #[error(transparent)]
    Export(#[from] ExportError),
    #[error(transparent)]
    Server(#[from] client::ClientError),
    #[error(transparent)]
    Order(#[from] crate::export::order::Unordered),
    #[error("{0}")]
    Usage(&'static str),
    #[error("{0}")]
    Token(String),
    #[error(transparent)]
    Filter(#[from] crate::store::filter::FilterError),
    #[error("no such {what}: {id}")]
    Missing { what: &'static str, id: String },
    #[error("no randomness: {0}")]
    Random(#[from] getrandom::Error),
    #[error("cannot print: {0}")]
    Print(#[from] std::io::Error),
}

/// Runs the command line. Exit status: 0 done, 1 verification found something wrong, 2 it could not be done.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&Failure::Print(error)),
    };
    let result = runtime.block_on(async {
        match cli.command {
            Command::Serve(arguments) => serve::run(*arguments).await.map(|()| ExitCode::SUCCESS),
            Command::Sessions(arguments) => read::sessions(arguments).await.map(|()| ExitCode::SUCCESS),
            Command::Search(arguments) => read::search(arguments).await.map(|()| ExitCode::SUCCESS),
            Command::Show(arguments) => read::show(arguments).await.map(|()| ExitCode::SUCCESS),
            Command::Replay(arguments) => replay::run(arguments).await,
            Command::Tui(arguments) => tui::run(arguments).await.map(|()| ExitCode::SUCCESS),
            Command::Recorders(arguments) => read::recorders(arguments).await.map(|()| ExitCode::SUCCESS),
            Command::Verify(arguments) => verify::run(arguments).await,
            Command::Checkpoint(arguments) => {
                evidence::checkpoint(arguments).await.map(|()| ExitCode::SUCCESS)
            }
            Command::Export(arguments) => evidence::export(arguments).await.map(|()| ExitCode::SUCCESS),
            Command::Reconcile(arguments) => reconcile::run(arguments).await,
            Command::Unseal(arguments) => unseal::run(arguments).await.map(|()| ExitCode::SUCCESS),
            Command::Token { command } => token::run(command).await.map(|()| ExitCode::SUCCESS),
            Command::AccessLog(arguments) => token::access_log(arguments).await.map(|()| ExitCode::SUCCESS),
            Command::Prune(arguments) => retention::prune(arguments).await.map(|()| ExitCode::SUCCESS),
            Command::Hold(arguments) => retention::hold(arguments).await.map(|()| ExitCode::SUCCESS),
            Command::Completions(arguments) => completions::run(arguments).map(|()| ExitCode::SUCCESS),
            Command::Config { command } => config::run(command),
            Command::Keygen(arguments) => keygen::run(arguments).map(|()| ExitCode::SUCCESS),
        }
    });
    // A tail that is still being read is waited for by nobody.
    runtime.shutdown_background();
    match result {
        Ok(code) => code,
        // Whoever reads has seen enough: `chaperone replay … | head`.
        Err(Failure::Print(error) | Failure::Export(ExportError::Write(error)))
            if error.kind() == std::io::ErrorKind::BrokenPipe =>
        {
            ExitCode::SUCCESS
        }
        Err(failure) => fail(&failure),
    }
}

fn fail(failure: &Failure) -> ExitCode {
    anstream::eprintln!("chaperone: {}", crate::present::sanitize::line(&failure.to_string()));
    ExitCode::from(2)
}
