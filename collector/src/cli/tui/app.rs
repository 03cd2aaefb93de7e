//! What is on the screen, and what a key does to it.

use super::rows::Rows;
use crate::present::sanitize::line;
use crate::present::table;
use crate::present::timeline::Timeline;
use crate::store::model::{ExchangeDetail, ExchangeSummary, SessionDetail, SessionSummary};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::collections::HashMap;

/// Columns that one step to the side moves.
const SIDE: usize = 16;

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    Sessions,
    Session,
    Step,
}

/// What a key asks for that has to be read first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Nothing,
    /// The list of sessions, as it is now.
    Sessions,
    /// A session by its id.
    Session(String),
    /// An exchange by its id.
    Step(String),
    Quit,
}

/// The whole screen.
pub(super) struct App {
    pub(super) page: Page,
    pub(super) heading: String,
    pub(super) sessions: Rows,
    pub(super) session: Rows,
    pub(super) step: Rows,
    timeline: Option<Timeline>,
    /// The line of each exchange of the session.
    known: HashMap<String, usize>,
    /// The text that is being typed after `/`.
    pub(super) typing: Option<String>,
    search: String,
    pub(super) message: String,
    pub(super) help: bool,
    /// Whether the newest step stays in sight.
    pub(super) follow: bool,
    pub(super) loading: bool,
    /// Lines on the screen, once it was drawn.
    pub(super) height: usize,
}

impl App {
    pub(super) fn new() -> Self {
        Self {
            page: Page::Sessions,
            heading: "No sessions.".to_owned(),
            sessions: Rows::default(),
            session: Rows::default(),
            step: Rows::default(),
            timeline: None,
            known: HashMap::new(),
            typing: None,
            search: String::new(),
            message: String::new(),
            help: false,
            follow: false,
            loading: false,
            height: 20,
        }
    }

    pub(super) fn rows(&mut self) -> &mut Rows {
        match self.page {
            Page::Sessions => &mut self.sessions,
            Page::Session => &mut self.session,
            Page::Step => &mut self.step,
        }
    }

    pub(super) fn show_sessions(&mut self, sessions: &[SessionSummary]) {
        let cursor = self.sessions.cursor;
        let printed = table::sessions(sessions);
        let mut lines = printed.lines();
        self.heading = lines.next().filter(|_| !sessions.is_empty()).unwrap_or("No sessions.").to_owned();
        self.sessions = Rows::default();
        for (text, session) in lines.zip(sessions) {
            self.sessions.push(text.to_owned(), Some(session.session.clone()));
        }
        self.sessions.cursor = cursor;
        self.sessions.step(0);
    }

    /// Begins a session with its first page.
    pub(super) fn open_session(&mut self, first: SessionDetail) {
        let timeline = Timeline::new(first.summary, first.gaps, false);
        self.session = Rows::of(timeline.header());
        self.timeline = Some(timeline);
        self.known.clear();
        self.page = Page::Session;
        self.add(&first.exchanges);
        self.session.cursor = 0;
    }

    /// Further exchanges of the session, or ones whose state has changed.
    pub(super) fn add(&mut self, exchanges: &[ExchangeSummary]) {
        let Some(timeline) = &mut self.timeline else { return };
        let at_end = self.session.is_at_end();
        for exchange in exchanges {
            if let Some(row) =
                self.known.get(&exchange.exchange).and_then(|row| self.session.rows.get_mut(*row))
            {
                row.text = timeline.line_of(exchange);
                continue;
            }
            let mut told = timeline.step(exchange, None);
            let Some(step) = told.pop() else { continue };
            told.into_iter().for_each(|text| self.session.push(text, None));
            self.known.insert(exchange.exchange.clone(), self.session.rows.len());
            self.session.push(step, Some(exchange.exchange.clone()));
        }
        if self.follow && at_end {
            self.session.step(isize::MAX);
        }
    }

    /// The session has been read to its end, as it is now.
    pub(super) fn all_read(&mut self) {
        self.loading = false;
        let rest = self.timeline.as_mut().map(Timeline::rest).unwrap_or_default();
        rest.into_iter().for_each(|text| self.session.push(text, None));
    }

    pub(super) fn open_step(&mut self, detail: &ExchangeDetail, changes: Vec<String>) {
        self.step = Rows::of(table::exchange(detail).into_iter().chain(changes));
        self.page = Page::Step;
    }

    pub(super) fn key(&mut self, key: KeyEvent) -> Wish {
        self.message.clear();
        if key.modifiers.contains(KeyModifiers::CONTROL) && matches!(key.code, KeyCode::Char('c')) {
            return Wish::Quit;
        }
        if self.typing.is_some() {
            self.type_key(key.code);
            return Wish::Nothing;
        }
        if std::mem::take(&mut self.help) {
            return Wish::Nothing;
        }
        let page = isize::try_from(self.height.saturating_sub(1)).unwrap_or(1).max(1);
        match key.code {
            KeyCode::Char('j') | KeyCode::Down => self.rows().step(1),
            KeyCode::Char('k') | KeyCode::Up => self.rows().step(-1),
            KeyCode::Char(' ') | KeyCode::PageDown => self.rows().step(page),
            KeyCode::Char('b') | KeyCode::PageUp => self.rows().step(-page),
            KeyCode::Char('g') | KeyCode::Home => self.rows().step(isize::MIN),
            KeyCode::Char('G') | KeyCode::End => self.rows().step(isize::MAX),
            KeyCode::Char('l') | KeyCode::Right => self.rows().left += SIDE,
            KeyCode::Char('h') | KeyCode::Left => self.rows().left = self.rows().left.saturating_sub(SIDE),
            KeyCode::Char('/') => self.typing = Some(String::new()),
            KeyCode::Char('n') => self.look(true),
            KeyCode::Char('N') => self.look(false),
            KeyCode::Char('?') => self.help = true,
            KeyCode::Char('f') if self.page == Page::Session => {
                self.follow = !self.follow;
                if self.follow {
                    self.session.step(isize::MAX);
                }
            }
            KeyCode::Char('r') if self.page == Page::Sessions => return Wish::Sessions,
            KeyCode::Char('J') if self.page == Page::Step => return self.neighbour(1),
            KeyCode::Char('K') if self.page == Page::Step => return self.neighbour(-1),
            KeyCode::Enter => return self.open(),
            KeyCode::Esc | KeyCode::Backspace => self.back(),
            KeyCode::Char('q') if self.page == Page::Sessions => return Wish::Quit,
            KeyCode::Char('q') => self.back(),
            KeyCode::Char('Q') => return Wish::Quit,
            _ => {}
        }
        Wish::Nothing
    }

    fn type_key(&mut self, code: KeyCode) {
        let Some(text) = &mut self.typing else { return };
        match code {
            KeyCode::Char(c) => text.push(c),
            KeyCode::Backspace => drop(text.pop()),
            KeyCode::Esc => self.typing = None,
            KeyCode::Enter => {
                self.search = self.typing.take().unwrap_or_default();
                self.look(true);
            }
            _ => {}
        }
    }

    fn look(&mut self, forward: bool) {
        let text = self.search.clone();
        if !text.is_empty() && !self.rows().search(&text, forward) {
            self.message = format!("Nothing has {:?}.", line(&text));
        }
    }

    fn open(&mut self) -> Wish {
        let page = self.page;
        let rows = self.rows();
        match (page, rows.rows.get(rows.cursor).and_then(|row| row.opens.clone())) {
            (Page::Sessions, Some(session)) => Wish::Session(session),
            (Page::Session, Some(exchange)) => Wish::Step(exchange),
            _ => Wish::Nothing,
        }
    }

    /// The step after or before the one that is looked at.
    fn neighbour(&mut self, by: isize) -> Wish {
        let mut index = self.session.cursor;
        while let Some(next) = index.checked_add_signed(by).filter(|next| *next < self.session.rows.len()) {
            index = next;
            if let Some(exchange) = self.session.rows[index].opens.clone() {
                self.session.cursor = index;
                return Wish::Step(exchange);
            }
        }
        self.message = "There is no other step.".to_owned();
        Wish::Nothing
    }

    fn back(&mut self) {
        self.page = match self.page {
            Page::Step => Page::Session,
            Page::Session | Page::Sessions => {
                self.follow = false;
                Page::Sessions
            }
        };
    }

    /// The session on the screen, behind the step that may be looked at.
    pub(super) fn is_in_session(&self) -> bool {
        self.page != Page::Sessions
    }

    /// Exchanges of the session before one, the latest first.
    pub(super) fn before<'a>(&'a self, exchange: &str) -> impl Iterator<Item = &'a str> {
        let row = self.known.get(exchange).copied().unwrap_or(0);
        self.session.rows[..row.min(self.session.rows.len())]
            .iter()
            .rev()
            .filter_map(|row| row.opens.as_deref())
    }
}
