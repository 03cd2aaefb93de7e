//! The chart, rendered by helm.

use anyhow::Result;
use chaperone_test_harness::process::WorkDir;

use crate::files::Object;

/// Everything the chart can render to, with the values of its tests.
pub async fn renderings(_dir: &WorkDir) -> Result<Vec<Object>> {
    Ok(Vec::new())
}
