//! Exec, attach, cp, logs and port-forward for the people who use them: real clients, with real processes behind a stand-in
//! API server or behind a real one with a small kubelet.
//!
//! Rows are done twice, straight at the API server and through Envoy with the filter: what the client got must be the same,
//! byte for byte. Then bytes that no client writes: none of them reaches a process unrecorded.

mod client;
mod evasion;
mod pods;
mod records;
mod rows;

use anyhow::{Context as _, Result, ensure};
use chaperone_test_harness::envoy::vm_failures;
use chaperone_test_harness::kube::Assets;
use chaperone_test_harness::stage::{ApiKind, Stage};
use client::{Desk, Outcome, Program};
use pods::Pods;
use rows::Row;
use std::path::Path;

#[tokio::test(flavor = "multi_thread")]
async fn terminals_of_a_stand_in() {
    done(all(ApiKind::StandIn).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn terminals_of_a_real_api_server() {
    match Assets::find() {
        Some(assets) => done(all(ApiKind::Kube(assets)).await),
        None => skipped("no real kube-apiserver here; `make kube-assets` gets one"),
    }
}

fn done(outcome: Result<()>) {
    if let Err(error) = outcome {
        panic!("{error:#}");
    }
}

/// Says loudly what is not tested here; in CI that is a failure.
fn skipped(what: &str) {
    eprintln!("\n!!! SKIPPED: {what}. !!!\n");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "CI must test with everything: {what}");
}

async fn all(api: ApiKind) -> Result<()> {
    let stage = Stage::builder(api).start().await?;
    let pods = Pods::start(&stage).await?;
    let direct = Desk::new("direct", stage.kubectl_direct("direct")?.kubeconfig(), &pods, stage.dir())?;
    let mut gateway = Desk::new("gateway", Path::new(""), &pods, stage.dir())?;
    let mut missing = Vec::new();
    let mut wrong = Vec::new();
    for (number, row) in rows::rows().iter().enumerate().filter(|(_, row)| chosen(row)) {
        let Some(program) = Program::find(row.client).await else {
            if !missing.contains(&row.client) {
                missing.push(row.client);
            }
            continue;
        };
        let session = format!("terminal-{number}");
        let token = stage.issuer.mint(&stage.agent("terminal@example.com", &session));
        gateway.kubeconfig = stage.kubectl(&session, Some(&token))?.kubeconfig().to_owned();
        match compared(&stage, &session, row, &program, &direct, &gateway).await {
            Ok(()) => eprintln!("  ok    {row}"),
            Err(error) => {
                eprintln!("  WRONG {row}: {error:#}");
                wrong.push(format!("{row}: {error:#}"));
            }
        }
    }
    evasion::all(&stage, &mut wrong).await?;
    for client in missing {
        skipped(&format!("{client:?} is missing; `scripts/clients` gets it"));
    }
    ensure!(wrong.is_empty(), "{} rows went wrong:\n{}", wrong.len(), wrong.join("\n"));
    stage.collector.verify().await?;
    vm_failures(&stage.envoy.log())?;
    drop(pods);
    stage.stop().await
}

/// `TERMINAL_ONLY` names a part of the rows to do.
fn chosen(row: &Row) -> bool {
    std::env::var("TERMINAL_ONLY").is_ok_and(|part| !row.to_string().contains(&part)).eq(&false)
}

/// Does a row both ways.
async fn compared(
    stage: &Stage,
    session: &str,
    row: &Row,
    program: &Program,
    direct: &Desk,
    gateway: &Desk,
) -> Result<()> {
    let expected = program.run(row, direct).await.context("at the API server")?;
    row.check(&expected, direct)?;
    let seen = program.run(row, gateway).await.context("through the gateway")?;
    ensure!(
        seen == expected,
        "the gateway's differs: {}\nfrom the API server's: {}",
        brief(&seen),
        brief(&expected)
    );
    records::check(stage, session, &seen).await.context("in the record")
}

fn brief(outcome: &Outcome) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(600)]).into_owned();
    let Outcome { code, out, err } = outcome;
    format!("exit status {code}, {} bytes {:?}, stderr {:?}", out.len(), text(out), text(err))
}
