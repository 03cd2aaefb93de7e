//! Numbers over time as bars, drawn on the server.

use super::words::number;
use maud::{Markup, html};

/// One bar a stretch of time; the sum and the highest bar are told in words, too.
pub(super) fn bars(label: &str, values: &[i64]) -> Markup {
    let highest = values.iter().copied().max().unwrap_or(0);
    let total: i64 = values.iter().sum();
    let width = values.len() * 4;
    let said = match total {
        0 => format!("{label} over time: none"),
        _ => format!("{label} over time: {} in all, at most {} in one bar", number(total), number(highest)),
    };
    html! {
        svg.bars viewBox={ "0 0 " (width) " 32" } preserveAspectRatio="none" role="img" aria-label=(said) {
            line x1="0" y1="31.5" x2=(width) y2="31.5" {}
            @for (index, value) in values.iter().enumerate() {
                @if *value > 0 {
                    @let height = (value * 28 / highest.max(1)).max(2);
                    rect x=(index * 4) y=(31 - height) width="3" height=(height) {}
                }
            }
        }
    }
}

/// The values of each of `count` stretches, from those that are not zero.
pub(super) fn spread(count: usize, known: impl IntoIterator<Item = (i64, i64)>) -> Vec<i64> {
    let mut values = vec![0; count];
    for (stretch, value) in known {
        // What is in the last moment belongs to the last bar.
        let index = usize::try_from(stretch).unwrap_or(0).min(count.saturating_sub(1));
        if let Some(slot) = values.get_mut(index) {
            *slot += value;
        }
    }
    values
}
