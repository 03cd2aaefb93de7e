//! How it looks.

use super::app::{App, Page};
use super::rows::laid_out;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Stylize as _;
use ratatui::text::{Line, Text};
use ratatui::widgets::{Block, Clear, Paragraph};

const HELP: [(&str, &str); 12] = [
    ("j k ↓ ↑", "next, previous line"),
    ("space b", "next, previous page (also Page Down, Page Up)"),
    ("g G", "first, last line (also Home, End)"),
    ("h l ← →", "to the side"),
    ("Enter", "open a session or a step"),
    ("Esc q", "back; q in the list of sessions ends"),
    ("J K", "in a step: the next, the previous step"),
    ("/ n N", "search, next, previous"),
    ("f", "in a session: follow, new steps stay in sight"),
    ("r", "in the list of sessions: read it again"),
    ("Q Ctrl-C", "end"),
    ("?", "this"),
];

pub(super) fn draw(frame: &mut Frame<'_>, app: &mut App) {
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(1), Constraint::Length(1)])
            .areas(frame.area());
    app.height = usize::from(body.height);
    let title = match app.page {
        Page::Sessions => laid_out(&app.heading, app.sessions.left).bold(),
        Page::Session => Line::from("Session").bold(),
        Page::Step => Line::from("Step").bold(),
    };
    frame.render_widget(title, head);
    let height = app.height;
    frame.render_widget(Text::from(app.rows().visible(height)), body);
    frame.render_widget(status(app), foot);
    if app.help {
        help(frame);
    }
}

fn status(app: &mut App) -> Line<'static> {
    if let Some(text) = &app.typing {
        return Line::from(format!("/{}", crate::present::sanitize::line(text)));
    }
    if !app.message.is_empty() {
        return Line::from(app.message.clone()).yellow();
    }
    let (page, loading, follow) = (app.page, app.loading, app.follow);
    let rows = app.rows();
    let place = format!("{}/{}", rows.rows.len().min(rows.cursor + 1), rows.rows.len());
    let mut words = vec![place];
    if page == Page::Session && loading {
        words.push("reading…".to_owned());
    }
    if page == Page::Session && follow {
        words.push("following".to_owned());
    }
    words.push("Enter open  Esc back  / search  ? help  Q end".to_owned());
    Line::from(words.join("  ")).dim()
}

fn help(frame: &mut Frame<'_>) {
    let lines: Vec<Line<'_>> =
        HELP.iter().map(|(keys, what)| Line::from(format!(" {keys:<10} {what} "))).collect();
    let width = lines.iter().map(Line::width).max().unwrap_or(0) + 2;
    let area = centred(frame.area(), width, lines.len() + 2);
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" Keys ")), area);
}

fn centred(area: Rect, width: usize, height: usize) -> Rect {
    let width = u16::try_from(width).unwrap_or(u16::MAX).min(area.width);
    let height = u16::try_from(height).unwrap_or(u16::MAX).min(area.height);
    Rect::new(area.x + (area.width - width) / 2, area.y + (area.height - height) / 2, width, height)
}
