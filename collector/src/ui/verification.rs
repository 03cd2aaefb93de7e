//! `/verification`: whether everything is there, and how to check it without this server.

use super::layout::{Failed, Page, command, empty, page};
use super::words::{chip, code, counted, moment, number, text};
use crate::server::viewer::Viewer;
use crate::server::{App, now};
use crate::store::model::{RecordedGap, RecorderState, RecorderSummary};
use crate::store::survey::Hole;
use axum::extract::State;
use maud::{Markup, html};
use std::sync::Arc;

/// Most holes told of a chain.
const HOLES: u32 = 10;

/// Most gaps told.
const GAPS: u32 = 50;

/// A chain and what is missing of it.
struct Chain {
    recorder: RecorderSummary,
    pruned: Option<i64>,
    holes: Vec<Hole>,
}

impl Chain {
    /// Batches that are not there and were not pruned.
    fn missing(&self) -> i64 {
        let pruned = self.pruned.unwrap_or(0);
        self.holes.iter().map(|hole| (hole.to - hole.from.max(pruned) + 1).max(0)).sum()
    }

    fn is_whole(&self) -> bool {
        self.missing() == 0 && self.recorder.forks == 0
    }
}

pub(super) async fn show(viewer: Viewer, State(app): State<Arc<App>>) -> Result<Page, Failed> {
    let mut chains = Vec::new();
    for recorder in app.reader.recorders(now()).await? {
        let pruned = app.reader.pruned_below(&recorder.recorder).await?;
        let holes = match recorder.missing > 0 || pruned.is_some() {
            true => {
                app.reader.holes(&recorder.recorder, pruned.unwrap_or(recorder.first_batch), HOLES).await?
            }
            false => Vec::new(),
        };
        chains.push(Chain { recorder, pruned, holes });
    }
    let gaps = app.reader.newest_gaps(GAPS).await?;
    let kids: Vec<&str> = app.keys.kids().collect();
    let broken = chains.iter().filter(|chain| !chain.is_whole()).count();
    let content = html! {
        h1 { "Verification" }
        (verdict(&chains, broken, &gaps, kids.is_empty()))
        section {
            h2 { "Check it yourself" }
            p { "The line above is this server's word, from what it saw on arrival. Proof is an export, the public keys from whoever runs the filters, and:" }
            (command("chaperone export --out records.bundle"))
            (command("chaperone verify records.bundle --public-key public-keys.json"))
        }
        section {
            h2 { "Public keys" }
            @if kids.is_empty() {
                (empty("This server was given no public key: batches are taken unchecked.", "Start it with: chaperone serve --public-key public-keys.json"))
            } @else {
                p { "Batches are refused unless one of these keys signed them (RFC 7638 thumbprints):" }
                ul.paths { @for kid in kids { li { (code(kid)) } } }
            }
        }
        section {
            h2 { "Recorders" }
            p.dim { "Each worker of each gateway writes a chain of batches of its own; every batch holds the digest of the one before." }
            @if chains.is_empty() { (empty("No recorder has posted anything yet.", "")) }
            div.chains { @for chain in &chains { (shown(chain)) } }
        }
        section {
            h2 { "Gaps" }
            p.dim { "What recorders themselves say they lost, and why." }
            @if gaps.is_empty() { (empty("None: no recorder says it lost anything.", "")) }
            @else { (gap_table(&gaps)) }
        }
    };
    Ok(page(&viewer, "/verification", "Verification", content))
}

fn verdict(chains: &[Chain], broken: usize, gaps: &[RecordedGap], unchecked: bool) -> Markup {
    let incomplete: i64 = chains.iter().map(|chain| chain.recorder.incomplete).sum();
    let (class, sign, says) = if broken > 0 {
        ("bad", "✗", "Something is missing or does not fit")
    } else if unchecked {
        ("warn", "!", "Nothing is missing, but signatures were not checked")
    } else if !gaps.is_empty() || incomplete > 0 {
        ("warn", "!", "Every chain is whole; recorders admit to losses")
    } else {
        ("good", "✓", "Every chain is whole and signed")
    };
    html! {
        div.verdict.(class) {
            span.sign aria-hidden="true" { (sign) }
            div {
                strong { (says) }
                p {
                    (counted(i64::try_from(chains.len()).unwrap_or(0), "recorder")) ", "
                    @if broken > 0 { (number(i64::try_from(broken).unwrap_or(0))) " of them not whole, " }
                    (counted(i64::try_from(gaps.len()).unwrap_or(0), "gap")) ", "
                    (counted(incomplete, "request")) " without an end or beginning."
                }
            }
        }
    }
}

fn shown(chain: &Chain) -> Markup {
    let recorder = &chain.recorder;
    html! {
        details.chain open[!chain.is_whole()] data-row {
            summary {
                @if chain.is_whole() { (chip("good", "✓ whole", "Every batch is there, and nothing contradicts another.")) }
                @else { (chip("bad", "✗ not whole", "Batches are missing, or two say different things.")) }
                span.name {
                    @match &recorder.open {
                        Some(open) if !open.node.is_empty() => (text(&open.node)),
                        _ => (text(&recorder.recorder)),
                    }
                }
                span.dim { (counted(recorder.entries, "entry").replace("entrys", "entries")) ", last heard of " (moment(recorder.last_received)) }
                @if recorder.state == RecorderState::Silent { " " (chip("plain", "silent", "Nothing came for 10 minutes: it has ended, or has nothing to record.")) }
            }
            dl.facts {
                dt { "Recorder" } dd { (code(&recorder.recorder)) }
                @if let Some(open) = &recorder.open {
                    dt { "Filter" } dd { (text(&open.filter.version)) ", build " (code(&open.filter.build)) }
                    dt { "Configuration" } dd { (code(&open.config_digest)) }
                    @if !open.worker.is_empty() { dt { "Worker" } dd { (text(&open.worker)) } }
                }
                dt { "Batches" }
                dd { (number(recorder.batches)) ", numbers " (number(recorder.first_batch)) " to " (number(recorder.last_batch)) }
                @if let Some(pruned) = chain.pruned { dt { "Pruned" } dd { "below batch " (number(pruned)) ", under a signed tombstone" } }
                @if chain.missing() > 0 {
                    dt { "Missing" }
                    dd {
                        @for hole in &chain.holes {
                            div { @if hole.from == hole.to { "batch " (number(hole.from)) } @else { "batches " (number(hole.from)) " to " (number(hole.to)) } }
                        }
                        p.dim { "They did not arrive, or not yet: the gateway may still be trying, or ended before it could. Its own log tells." }
                    }
                }
                @if recorder.forks > 0 {
                    dt { "Contradictions" }
                    dd { (counted(recorder.forks, "batch").replace("batchs", "batches")) " came again with other content. Both are kept; someone changed records or holds the signing key." }
                }
                @if recorder.gaps > 0 { dt { "Gaps" } dd { (number(recorder.gaps)) ": see below" } }
                @if recorder.incomplete > 0 { dt { "Incomplete" } dd { (counted(recorder.incomplete, "request")) " without an end or beginning" } }
            }
        }
    }
}

fn gap_table(gaps: &[RecordedGap]) -> Markup {
    html! {
        table.log {
            thead { tr { th scope="col" { "When" } th scope="col" { "Why" } th.number scope="col" { "Entries" } th.number scope="col" { "Bytes" } th scope="col" { "Recorder and batch" } } }
            tbody { @for gap in gaps {
                tr data-row {
                    td { (moment(i64::try_from(gap.gap.time.micros()).unwrap_or(0))) }
                    td { (reason(&gap.gap.reason)) }
                    td.number { (number(i64::try_from(gap.gap.entries).unwrap_or(0))) }
                    td.number { (number(i64::try_from(gap.gap.bytes).unwrap_or(0))) }
                    td { (code(&gap.recorder)) ", " (number(gap.batch)) }
                }
            } }
        }
    }
}

fn reason(code: &str) -> Markup {
    match code {
        "outboxFull" => {
            html! { "The gateway's outbox was full: the collector could not be reached for too long." }
        }
        other => text(other),
    }
}
