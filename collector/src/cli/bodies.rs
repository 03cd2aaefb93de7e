//! Where batches' bytes are kept, where that is not the database.

use super::Failure;
use crate::store::bodies::{BodyError, UnknownBodies};
use crate::store::{Bodies, BodiesUrl, StoreError};
use clap::Args;

/// What reads.
#[derive(Args)]
pub(super) struct BodiesArguments {
    /// Where `serve` was told to keep batches with --bodies: file:///FOLDER or s3://BUCKET/PREFIX.
    #[arg(long, value_name = "URL", env = "CHAPERONE_BODIES", value_parser = url)]
    pub(super) bodies_url: Option<BodiesUrl>,
}

/// What writes.
#[derive(Args)]
pub(super) struct KeepingArguments {
    /// Keep the bytes of batches there, and only their index in the database: file:///FOLDER or s3://BUCKET/PREFIX, with
    /// endpoint, region and credentials from the environment (AWS_…). Default: in the database.
    #[arg(long = "bodies", visible_alias = "bodies-url", value_name = "URL", env = "CHAPERONE_BODIES", value_parser = url)]
    pub(super) bodies_url: Option<BodiesUrl>,
}

impl BodiesArguments {
    pub(super) fn open(&self) -> Result<Option<Bodies>, Failure> {
        opened(self.bodies_url.as_ref(), BodiesUrl::open)
    }
}

impl KeepingArguments {
    pub(super) fn create(&self) -> Result<Option<Bodies>, Failure> {
        opened(self.bodies_url.as_ref(), BodiesUrl::create)
    }
}

fn opened(
    url: Option<&BodiesUrl>,
    open: fn(&BodiesUrl) -> Result<Bodies, BodyError>,
) -> Result<Option<Bodies>, Failure> {
    Ok(url.map(open).transpose().map_err(StoreError::Body)?)
}

fn url(text: &str) -> Result<BodiesUrl, UnknownBodies> {
    text.parse()
}
