//! What the audit log and the records differ in, in words.

use super::sanitize::line;
use super::{GREEN, RED, YELLOW, counted, styled};
use crate::reconcile::Reconciliation;

/// The findings, what matters most last.
pub fn reconciliation(found: &Reconciliation) -> Vec<String> {
    let Some((since, until)) = found.period else {
        return vec![styled(YELLOW, "There is no audit event in it.")];
    };
    let logged = counted(i128::from(found.logged), "request");
    let mut out = vec![format!(
        "{logged} in the audit log from {since} to {until}, {} in the records.",
        found.recorded
    )];
    if found.unread > 0 {
        out.push(styled(YELLOW, &format!("{} no audit event.", lines_are(found.unread))));
    }
    if !found.unlogged.is_empty() {
        let what = counted(found.unlogged.len() as i128, "request");
        out.push(styled(YELLOW, &format!("{what} forwarded and not in the audit log:")));
        out.extend(found.unlogged.iter().map(|one| {
            format!("  {}  {}  {} {}", one.time, line(&one.exchange), line(&one.verb), line(&one.request_uri))
        }));
    }
    if !found.around.is_empty() {
        let what = counted(found.around.len() as i128, "request");
        out.push(styled(RED, &format!("{what} around the gateway:")));
        out.extend(found.around.iter().map(|one| {
            let from = if one.source_ips.is_empty() {
                String::new()
            } else {
                format!(" from {}", one.source_ips.join(", "))
            };
            format!(
                "  {}  {}  {} {}  by {}{}  {}",
                one.time,
                line(&one.audit_id),
                line(&one.verb),
                line(&one.request_uri),
                line(&one.user),
                line(&from),
                line(&one.user_agent)
            )
        }));
    }
    if found.agrees() {
        out.push(styled(GREEN, "Both tell of the same requests."));
    }
    out
}

fn lines_are(count: u64) -> String {
    if count == 1 { "1 line is".to_owned() } else { format!("{count} lines are") }
}
