//! What verification found, in words.

use super::sanitize::line;
use super::{GREEN, RED, YELLOW, counted, styled};
use crate::evidence::bundle::Manifest;
use crate::evidence::report::{Finding, Report, Verdict};
use crate::evidence::scope::Scope;

/// Most findings of a kind that are told one by one.
const TOLD: usize = 100;

/// What an export says of itself.
pub fn manifest(manifest: &Manifest) -> Vec<String> {
    let what = match &manifest.scope {
        Scope::Everything {} => "everything".to_owned(),
        Scope::Session { session, .. } => format!("session {}", line(session)),
        Scope::Time { since, until } => format!("the time from {since} to {until}"),
    };
    let mut out = vec![format!("Export of {what}, made {}.", manifest.exported)];
    if !manifest.scope.is_everything() {
        let note = "It is a part: what came before its first and after its last batches is not in it.";
        out.push(styled(YELLOW, note));
    }
    out
}

/// The report, the verdict last.
pub fn report(report: &Report) -> Vec<String> {
    let mut out = vec![format!(
        "{} of {} checked, with {}.",
        batches(report.batches),
        counted(report.recorders, "recorder"),
        counted(report.exchanges, "exchange"),
    )];
    if report.signatures_checked {
        out.push(format!("{} signed by a given key.", batches(report.signed)));
        if report.keys.len() > 1 {
            out.extend(
                report.keys.iter().map(|(kid, count)| format!("  {}: {}", line(kid), batches(*count))),
            );
        }
    } else {
        out.push(styled(YELLOW, "Signatures were not checked: no --public-key was given."));
    }
    if let Some(time) = report.checkpoint {
        out.push(format!("Held against the checkpoint of {time}."));
    }
    for (findings, style, word) in [
        (&report.pruned, YELLOW, "PRUNED"),
        (&report.gaps, YELLOW, "GAP"),
        (&report.incomplete, YELLOW, "INCOMPLETE"),
        (&report.silent, YELLOW, "SILENT"),
        (&report.problems, RED, "WRONG"),
    ] {
        let told = findings.iter().take(TOLD);
        out.extend(told.map(|finding| format!("{} {}", styled(style, word), sentence(finding))));
        if findings.len() > TOLD {
            out.push(format!("{} … and {} more", styled(style, word), findings.len() - TOLD));
        }
    }
    out.push(match report.verdict() {
        Verdict::Whole => styled(GREEN, "Nothing is wrong."),
        Verdict::Unsigned => styled(YELLOW, "Nothing is wrong as far as can be told without signatures."),
        Verdict::Broken => {
            styled(RED, &format!("{} wrong.", counted(report.problems.len() as i128, "thing")))
        }
    });
    out
}

fn sentence(finding: &Finding) -> String {
    let message = line(&finding.message);
    match (&finding.recorder, finding.batch) {
        (None, _) => message.into_owned(),
        (Some(recorder), None) => format!("recorder {}: {message}", line(recorder)),
        (Some(recorder), Some(batch)) => format!("recorder {}, batch {batch}: {message}", line(recorder)),
    }
}

fn batches(count: u64) -> String {
    if count == 1 { "1 batch".into() } else { format!("{count} batches") }
}
