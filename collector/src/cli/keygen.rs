//! `keygen`: a signing key for a filter.

use super::{Failure, output};
use crate::evidence::keys::generate;
use clap::Args;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

#[derive(Args)]
pub(super) struct Arguments {
    /// Folder to write `signing-key.pem` (secret, for the filter) and `public-keys.json` (for everybody) to.
    #[arg(long, default_value = ".")]
    out: PathBuf,
    /// Make the auditor's key for `masking.sealTo` instead: `unsealing-key.pem` (secret, for the auditor alone).
    #[arg(long)]
    sealing: bool,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    if arguments.sealing {
        return sealing(&arguments.out);
    }
    let key = generate()?;
    let (private, public) = (arguments.out.join("signing-key.pem"), arguments.out.join("public-keys.json"));
    fs::create_dir_all(&arguments.out).map_err(|source| Failure::File { path: arguments.out, source })?;
    write(&private, key.private_pem.as_bytes(), 0o600)?;
    write(&public, key.public_jwks.as_bytes(), 0o644)?;
    output::lines([
        format!("kid          {}", key.kid),
        format!("signing key  {} (keep it secret: CHAPERONE_SIGNING_KEY of the filter)", private.display()),
        format!("public key   {} (for `chaperone serve --public-key` and auditors)", public.display()),
    ])?;
    Ok(())
}

fn sealing(out: &Path) -> Result<(), Failure> {
    let (private_pem, public) = crate::evidence::sealing::generate()?;
    let private = out.join("unsealing-key.pem");
    fs::create_dir_all(out).map_err(|source| Failure::File { path: out.to_owned(), source })?;
    write(&private, private_pem.as_bytes(), 0o600)?;
    output::lines([
        format!("unsealing key  {} (the auditor's alone: `chaperone unseal --key`)", private.display()),
        format!("public key     {public} (masking.sealTo in the filter's configuration)"),
    ])?;
    Ok(())
}

/// Writes a new file; a key that is there already is never overwritten.
fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let written =
        options.open(path).and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.map_err(|source: io::Error| Failure::File { path: path.to_owned(), source })
}
