//! The metrics that alerts and dashboard name are the ones that gateway and collector have.

use crate::support::run;
use anyhow::{Context as _, Result, ensure};
use chaperone_test_harness::client::Client;
use chaperone_test_harness::stage::{ApiKind, Stage};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[tokio::test]
async fn alerts_and_dashboard_name_metrics_that_are_there() {
    run(ApiKind::StandIn, 2, async |stage: &mut Stage| {
        let agent = stage.client()?.with_token(&stage.issuer.mint(&stage.agent("alice", "monitoring")));
        ensure!(agent.get("/api/v1/namespaces/orders/secrets/db").await?.status == 200, "a read is refused");
        let gateway = Client::plain(stage.envoy.admin().address()).get("/stats/prometheus").await?.text();
        let collector = Client::plain(stage.collector.address()).get("/metrics").await?.text();
        let there: BTreeSet<&str> = gateway
            .lines()
            .chain(collector.lines())
            .filter_map(|line| line.split(['{', ' ']).next())
            .filter(|name| name.starts_with("chaperone_"))
            .collect();
        let mut missing = Vec::new();
        for file in ["alerts.yaml", "dashboard.json"] {
            for name in named(file)? {
                // An alternative of names is written as a regular expression; a histogram has buckets once it has samples.
                if !there.contains(name.as_str()) && !name.ends_with('_') {
                    missing.push(format!("{file}: {name}"));
                }
            }
        }
        ensure!(missing.is_empty(), "{missing:?}\nthere are {there:?}");
        Ok(())
    })
    .await;
}

/// The words of a file that are names of metrics.
fn named(file: &str) -> Result<BTreeSet<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../filter-config/monitoring").join(file);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    Ok(words.filter(|word| word.starts_with("chaperone_")).map(str::to_owned).collect())
}
