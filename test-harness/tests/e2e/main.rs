//! End to end: stock Envoy with the built filter, real kubectl, and a real kube-apiserver where there is one.
//!
//! Every group of checks runs against each API server, on a stage of its own.

mod bytes;
mod captures;
mod credentials;
mod hostile;
mod hosting;
mod keys;
mod monitoring;
mod outage;
mod reconcile;
mod reload;
mod replaying;
mod session;
mod support;
mod table;
mod tokens;

use chaperone_test_harness::kube::Assets;
use chaperone_test_harness::stage::ApiKind;

/// A test per group and API server.
macro_rules! against_each {
    ($($group:ident)*) => {
        mod standin {
            use chaperone_test_harness::stage::ApiKind;
            $(#[tokio::test]
            async fn $group() {
                super::support::run(ApiKind::StandIn, super::$group::CONCURRENCY, async |stage| super::$group::checks(stage).await).await;
            })*
        }
        mod real_kube_apiserver {
            $(#[tokio::test]
            async fn $group() {
                if let Some(api) = super::real() {
                    super::support::run(api, super::$group::CONCURRENCY, async |stage| super::$group::checks(stage).await).await;
                }
            })*
        }
    };
}

against_each! { session tokens outage hostile bytes }

/// The real kube-apiserver; says loudly where there is none, and fails in CI.
fn real() -> Option<ApiKind> {
    let found = Assets::find();
    if found.is_none() {
        eprintln!("\n!!! SKIPPED: no real kube-apiserver here. `make kube-assets` gets one. !!!\n");
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI must test against a real kube-apiserver");
    }
    found.map(ApiKind::Kube)
}
