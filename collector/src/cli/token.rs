//! `token` and `access-log`: who may use the collector, and who read what.

use super::source::SourceArguments;
use super::{DatabaseArguments, Failure, Format, access, output, read};
use crate::present::table;
use crate::server::now;
use crate::store::Writer;
use crate::store::access::{BadPattern, RecorderPattern, Role, new_token};
use crate::store::filter::{moment, span};
use chaperone_record::Timestamp;
use clap::{Args, Subcommand};
use std::time::Duration;

/// Longest name of a token.
const MAX_NAME: usize = 100;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Make a token, and print it: it is shown this once, and only its digest is kept.
    #[command(after_help = "Examples:\n  chaperone token create --role ingest --name gateway-1\n  \
        chaperone token create --role auditor --name alice --expires 90d\n  \
        chaperone token create --role ingest --name gateway-2 --recorder 'gateway-2.*'")]
    Create(CreateArguments),
    /// List all tokens, without their text.
    List(ListArguments),
    /// Revoke a token: it is refused from now on, and who logged in with it is logged out.
    Revoke(RevokeArguments),
    /// Make a link that logs an admin in once, within 15 minutes.
    Login(LoginArguments),
}

#[derive(Args)]
pub(super) struct CreateArguments {
    #[command(flatten)]
    source: DatabaseArguments,
    /// What it is for.
    #[arg(long, value_enum)]
    role: Role,
    /// Whose it is, as the access log shows it.
    #[arg(long, value_parser = name)]
    name: String,
    /// How long it is good for, like 12h or 90d. Default: until it is revoked.
    #[arg(long, value_name = "SPAN", value_parser = span)]
    expires: Option<Duration>,
    /// The only recorder that it posts for; with a `*` at the end, all whose names begin so. Default: any.
    #[arg(long, value_name = "NAME", value_parser = recorder)]
    recorder: Option<RecorderPattern>,
}

#[derive(Args)]
pub(super) struct ListArguments {
    #[command(flatten)]
    source: DatabaseArguments,
    /// How to print.
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
}

#[derive(Args)]
pub(super) struct LoginArguments {
    #[command(flatten)]
    source: DatabaseArguments,
    /// Where browsers find the collector.
    #[arg(long, value_name = "URL", value_parser = access::public_url, default_value = "http://127.0.0.1:8088")]
    public_url: String,
}

#[derive(Args)]
pub(super) struct RevokeArguments {
    #[command(flatten)]
    source: DatabaseArguments,
    /// The token's id, as `chaperone token list` shows it.
    #[arg(value_name = "ID")]
    id: String,
}

#[derive(Args)]
pub(super) struct LogArguments {
    #[command(flatten)]
    source: SourceArguments,
    /// From this moment on: like 2026-11-23T08:00:00Z, or as long ago as 2h or 7d.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// At most so many.
    #[arg(long, default_value_t = 100)]
    limit: u32,
    /// How to print.
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
}

pub(super) async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Create(arguments) => create(arguments).await,
        Command::List(arguments) => list(arguments).await,
        Command::Revoke(arguments) => revoke(arguments).await,
        Command::Login(arguments) => login(arguments).await,
    }
}

async fn create(arguments: CreateArguments) -> Result<(), Failure> {
    if arguments.recorder.is_some() && arguments.role != Role::Ingest {
        return Err(Failure::Token("only ingest tokens post for a recorder".to_owned()));
    }
    let now = now();
    let expires = arguments.expires.map(|span| now.later(span));
    let (text, token) = new_token(arguments.role, &arguments.name, now, expires, arguments.recorder)?;
    let mut writer = Writer::open(&arguments.source.database).await?;
    writer.add_token(&text, &token).await?;
    writer.close().await;
    // The token alone on standard output, so that it can be put where it belongs without being seen.
    anstream::eprintln!(
        "Token {} of {}, role {}. It is shown this once.",
        token.id,
        token.name,
        token.role.as_str()
    );
    output::lines([text.as_str()])?;
    Ok(())
}

async fn list(arguments: ListArguments) -> Result<(), Failure> {
    let tokens = read::open(&arguments.source).await?.tokens().await?;
    match arguments.output {
        format @ (Format::Json | Format::Yaml) => output::value(format, &tokens)?,
        Format::Text if tokens.is_empty() => output::lines(["No tokens."])?,
        Format::Text => output::lines([table::tokens(&tokens, now())])?,
    }
    Ok(())
}

async fn login(arguments: LoginArguments) -> Result<(), Failure> {
    let link = access::link(&arguments.source.database, &arguments.public_url).await?;
    output::lines([link.as_str()])?;
    Ok(())
}

async fn revoke(arguments: RevokeArguments) -> Result<(), Failure> {
    read::open(&arguments.source).await?.close().await;
    let mut writer = Writer::open(&arguments.source.database).await?;
    let revoked = writer.revoke_token(&arguments.id, now()).await?;
    writer.close().await;
    if !revoked {
        return Err(Failure::Missing { what: "token that is not revoked", id: arguments.id });
    }
    output::lines([format!("Token {} is revoked.", arguments.id)])?;
    Ok(())
}

pub(super) async fn access_log(arguments: LogArguments) -> Result<(), Failure> {
    let source = arguments.source.open().await?;
    let log = source.access_log(arguments.since, arguments.limit.max(1)).await?;
    match arguments.output {
        format @ (Format::Json | Format::Yaml) => output::value(format, &log)?,
        Format::Text if log.accesses.is_empty() => output::lines(["Nobody read anything."])?,
        Format::Text => output::lines([table::accesses(&log.accesses)])?,
    }
    Ok(())
}

fn recorder(text: &str) -> Result<RecorderPattern, BadPattern> {
    text.to_owned().try_into()
}

fn name(text: &str) -> Result<String, &'static str> {
    let good = !text.trim().is_empty() && text.len() <= MAX_NAME && !text.chars().any(char::is_control);
    good.then(|| text.to_owned()).ok_or("a name has 1 to 100 characters, none of them a control character")
}
