//! `tui`: sessions, their steps, and each step in full, on the whole screen.

mod app;
mod rows;
#[cfg(test)]
mod tests;
mod view;

use super::Failure;
use super::follow::Follower;
use super::source::{Source, SourceArguments};
use crate::present::change::{self, Object};
use crate::present::sanitize::line;
use crate::store::filter::Filter;
use crate::store::model::{ExchangeDetail, ExchangeSummary, SessionDetail};
use app::{App, Wish};
use clap::Args;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use std::io::IsTerminal as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// Most sessions that are listed.
const SESSIONS: u32 = 1000;

/// Exchanges read at a time.
const PAGE: u32 = 500;

/// How many steps back the state of an object before a change is looked for.
const BACK: usize = 200;

#[derive(Args)]
pub(super) struct Arguments {
    /// A session to begin with. Default: the list of sessions.
    #[arg(id = "open", value_name = "SESSION")]
    session: Option<String>,
    #[command(flatten)]
    source: SourceArguments,
    #[command(flatten)]
    filter: Filter,
}

/// A session that is being read, and then followed.
struct Reading {
    session: String,
    /// Where its next page begins; none once it is read.
    next: Option<String>,
    follower: Follower,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return Err(Failure::Usage("tui needs a terminal; `chaperone replay` tells a session anywhere"));
    }
    arguments.filter.check()?;
    // What cannot be read is said before the screen is taken.
    let source = arguments.source.open().await?;
    let mut browser = Browser { source, filter: arguments.filter, app: App::new(), reading: None };
    browser.fulfil(Wish::Sessions).await?;
    if let Some(session) = arguments.session {
        browser.fulfil(Wish::Session(session)).await?;
    }
    let mut terminal = ratatui::try_init()?;
    let ran = browser.run(&mut terminal).await;
    ratatui::try_restore()?;
    ran
}

struct Browser {
    source: Source,
    filter: Filter,
    app: App,
    reading: Option<Reading>,
}

impl Browser {
    async fn run(&mut self, terminal: &mut ratatui::DefaultTerminal) -> Result<(), Failure> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut events = events();
        loop {
            terminal.draw(|frame| view::draw(frame, &mut self.app))?;
            let wish = tokio::select! {
                biased;
                _ = terminate.recv() => return Ok(()),
                event = events.recv() => match event {
                    Some(Ok(Event::Key(key))) if key.kind != KeyEventKind::Release => self.app.key(key),
                    Some(Ok(_)) => Wish::Nothing,
                    Some(Err(error)) => return Err(error.into()),
                    None => return Ok(()),
                },
                news = news(&self.source, &mut self.reading) => {
                    match news {
                        Ok(news) => self.tell(news),
                        Err(failure) => self.fail(&failure),
                    }
                    Wish::Nothing
                }
            };
            if wish == Wish::Quit {
                return Ok(());
            }
            if let Err(failure) = self.fulfil(wish).await {
                self.app.message = line(&failure.to_string()).into_owned();
            }
            if !self.app.is_in_session() {
                self.reading = None;
            }
        }
    }

    async fn fulfil(&mut self, wish: Wish) -> Result<(), Failure> {
        match wish {
            Wish::Nothing | Wish::Quit => {}
            Wish::Sessions => {
                let list = self.source.sessions(&self.filter, SESSIONS).await?;
                self.app.show_sessions(&list.sessions);
            }
            Wish::Session(session) => {
                // Before the first page is read: what arrives from then on is told by one or the other.
                let only = Filter { session: Some(session.clone()), ..Filter::default() };
                let follower = Follower::begin(&self.source, only).await?;
                let first = self.source.session_detail(&session, PAGE, None).await?;
                let next = first.next.clone();
                self.app.open_session(first);
                self.app.loading = next.is_some();
                if next.is_none() {
                    self.app.all_read();
                }
                self.reading = Some(Reading { session, next, follower });
            }
            Wish::Step(exchange) => {
                let missing = || Failure::Missing { what: "exchange", id: exchange.clone() };
                let detail = self.source.exchange(&exchange).await?.ok_or_else(missing)?;
                let changes = self.changes(&detail).await?;
                self.app.open_step(&detail, changes);
            }
        }
        Ok(())
    }

    /// What a write did to its object, where an earlier step of the session tells what that was.
    async fn changes(&self, detail: &ExchangeDetail) -> Result<Vec<String>, Failure> {
        let Some(after) = Object::of(detail).filter(|_| change::is_change(detail)) else {
            return Ok(Vec::new());
        };
        for earlier in self.app.before(&detail.summary.exchange).take(BACK) {
            let before = self.source.exchange(earlier).await?.as_ref().and_then(Object::of);
            if let Some(before) = before.filter(|before| before.place == after.place) {
                let mut lines = vec![String::new()];
                lines.extend(change::told(&before, &after));
                return Ok(lines);
            }
        }
        Ok(Vec::new())
    }

    fn tell(&mut self, news: News) {
        match news {
            News::Page(page) => {
                self.app.add(&page.exchanges);
                if let Some(reading) = &mut self.reading {
                    reading.next = page.next;
                    if reading.next.is_none() {
                        self.app.all_read();
                    }
                }
            }
            News::Exchange(exchange) => self.app.add(&[*exchange]),
            News::End => self.reading = None,
        }
    }

    fn fail(&mut self, failure: &Failure) {
        self.reading = None;
        self.app.loading = false;
        self.app.message = line(&failure.to_string()).into_owned();
    }
}

/// What became known of the session.
enum News {
    Page(Box<SessionDetail>),
    Exchange(Box<ExchangeSummary>),
    End,
}

/// Waits for more of the session; for ever where none is looked at.
async fn news(source: &Source, reading: &mut Option<Reading>) -> Result<News, Failure> {
    let Some(reading) = reading else { return std::future::pending().await };
    if let Some(after) = &reading.next {
        let page = source.session_detail(&reading.session, PAGE, Some(after)).await?;
        return Ok(News::Page(Box::new(page)));
    }
    Ok(match reading.follower.next().await? {
        Some(exchange) => News::Exchange(Box::new(exchange)),
        None => News::End,
    })
}

/// Keys, as they are pressed. Reading them waits, so that a thread of its own does it, which ends with the program.
fn events() -> mpsc::Receiver<std::io::Result<Event>> {
    let (sender, receiver) = mpsc::channel(64);
    std::thread::spawn(move || {
        loop {
            let event = event::read();
            let failed = event.is_err();
            if sender.blocking_send(event).is_err() || failed {
                return;
            }
        }
    });
    receiver
}
