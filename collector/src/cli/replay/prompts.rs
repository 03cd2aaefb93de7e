//! `replay --prompts`: what was asked for, and how much was done for it.

use super::PAGE;
use crate::cli::source::Source;
use crate::cli::{Failure, output};
use crate::present::timeline::{Timeline, attributed};
use crate::present::{BOLD, RED, counted, styled};
use crate::store::model::ExchangeSummary;
use chaperone_record::Attributed;

/// What was done for one prompt, until the next.
struct Stretch {
    prompt: Option<Attributed>,
    requests: u64,
    writes: u64,
    refused: u64,
}

pub(super) async fn tell(source: &Source, session: &str) -> Result<(), Failure> {
    let (mut stretches, mut after) = (Vec::<Stretch>::new(), None::<String>);
    loop {
        let page = source.session_detail(session, PAGE, after.as_deref()).await?;
        if after.is_none() {
            output::lines(Timeline::new(page.summary, Vec::new(), false).header())?;
        }
        page.exchanges.iter().for_each(|exchange| count(&mut stretches, exchange));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    output::lines(stretches.iter().flat_map(|stretch| {
        let prompt = match &stretch.prompt {
            Some(prompt) => format!("{} {}", styled(BOLD, "Prompt"), attributed(prompt)),
            None => styled(BOLD, "Without a prompt"),
        };
        let refused = format!("{} refused", stretch.refused);
        let refused = if stretch.refused > 0 { styled(RED, &refused) } else { refused };
        let done = [counted(stretch.requests, "request"), counted(stretch.writes, "write"), refused];
        [String::new(), prompt, format!("  {}", done.join(", "))]
    }))?;
    Ok(())
}

fn count(stretches: &mut Vec<Stretch>, exchange: &ExchangeSummary) {
    let head = exchange.requested.as_ref();
    let prompt = head.and_then(|head| head.attribution.prompt.clone());
    // An exchange whose head is missing stays with the prompt before it.
    if stretches.last().is_none_or(|last| head.is_some() && last.prompt != prompt) {
        stretches.push(Stretch { prompt, requests: 0, writes: 0, refused: 0 });
    }
    let Some(stretch) = stretches.last_mut() else { return };
    let refused = exchange.is_refused();
    let reads = head.is_none_or(|head| matches!(head.verb.as_str(), "get" | "list" | "watch" | "head"));
    stretch.requests += 1;
    stretch.refused += u64::from(refused);
    stretch.writes += u64::from(!refused && !reads);
}
