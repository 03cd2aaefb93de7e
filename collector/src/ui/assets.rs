//! Styles and scripts, in the program itself. Their URL has their digest: they are kept by browsers for good.

use super::layout::Failed;
use crate::evidence::sha256_hex;
use axum::extract::Path;
use axum::http::header;
use axum::response::IntoResponse;
use std::sync::LazyLock;

/// A file and where it is found.
pub(super) struct Asset {
    name: &'static str,
    media_type: &'static str,
    text: &'static str,
    url: LazyLock<String>,
}

macro_rules! asset {
    ($name:literal, $media_type:literal) => {
        Asset {
            name: $name,
            media_type: $media_type,
            text: include_str!(concat!("assets/", $name)),
            url: LazyLock::new(|| url($name, include_str!(concat!("assets/", $name)))),
        }
    };
}

/// How everything looks.
pub(super) static STYLE: Asset = asset!("style.css", "text/css; charset=utf-8");
/// Takes the kept choice of light or dark before anything is painted.
pub(super) static THEME: Asset = asset!("theme.js", "text/javascript; charset=utf-8");
/// Everything else that scripts add.
pub(super) static SCRIPT: Asset = asset!("page.js", "text/javascript; charset=utf-8");
/// Opens sealed originals, on the pages that have some.
pub(super) static UNSEAL: Asset = asset!("unseal.js", "text/javascript; charset=utf-8");
/// Lets asciinema's player play.
pub(super) static PLAY: Asset = asset!("play.js", "text/javascript; charset=utf-8");
/// The icon.
pub(super) static ICON: Asset = asset!("icon.svg", "image/svg+xml");

/// asciinema's player and its style, where `make player` fetched them before the build.
pub(super) fn player() -> Option<(&'static Asset, &'static Asset)> {
    #[cfg(player)]
    return Some((&fetched::SCRIPT, &fetched::STYLE));
    #[cfg(not(player))]
    None
}

#[cfg(player)]
mod fetched {
    use super::{Asset, LazyLock, url};

    macro_rules! fetched {
        ($name:literal, $media_type:literal) => {{
            const TEXT: &str = include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/player/node_modules/asciinema-player/dist/bundle/",
                $name
            ));
            Asset {
                name: $name,
                media_type: $media_type,
                text: TEXT,
                url: LazyLock::new(|| url($name, TEXT)),
            }
        }};
    }

    pub(super) static SCRIPT: Asset = fetched!("asciinema-player.min.js", "text/javascript; charset=utf-8");
    pub(super) static STYLE: Asset = fetched!("asciinema-player.css", "text/css; charset=utf-8");
}

fn url(name: &str, text: &str) -> String {
    let digest = sha256_hex(text.as_bytes());
    format!("/assets/{}-{name}", digest.get(..16).unwrap_or(&digest))
}

impl Asset {
    /// Its path, with its digest.
    pub(super) fn url(&self) -> &str {
        &self.url
    }
}

/// `GET /assets/{digest}-{name}`
pub(super) async fn get(Path(name): Path<String>) -> Result<impl IntoResponse, Failed> {
    let player = player().map(|(script, style)| [script, style]);
    let asset = [&STYLE, &THEME, &SCRIPT, &UNSEAL, &PLAY, &ICON]
        .into_iter()
        .chain(player.into_iter().flatten())
        .find(|asset| asset.url.strip_prefix("/assets/") == Some(&name))
        .ok_or_else(|| Failed::missing("file"))?;
    debug_assert!(asset.url.ends_with(asset.name));
    let headers = [
        (header::CONTENT_TYPE, asset.media_type),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    Ok((headers, asset.text))
}
