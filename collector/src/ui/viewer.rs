//! Who looks at a page.

use super::layout::Failed;
use crate::server::App;
use crate::server::auth::{self, Action};
use crate::server::read::admit;
use crate::store::access::Role;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// Somebody who may read, whose reading is in the access log, and whose turn it is.
pub(super) struct Viewer {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) csrf: String,
    _turn: OwnedSemaphorePermit,
}

impl FromRequestParts<Arc<App>> for Viewer {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failed> {
        let caller = auth::require(app, &parts.headers, Action::Read).await?;
        let turn = admit(parts, app, Action::Read).await?;
        Ok(Self { name: caller.name, role: caller.role, csrf: String::new(), _turn: turn })
    }
}
