//! What is on the screen, key by key.

use super::app::{App, Page, Wish};
use super::view;
use crate::store::model::{ExchangeSummary, SessionDetail, SessionSummary};
use chaperone_record::Timestamp;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::json;
use std::time::{Duration, Instant};

fn exchange(id: &str, name: &str, prompt: &str, time: u64) -> ExchangeSummary {
    let mut row = ExchangeSummary::new(id, "r-1", Timestamp::from_micros(time));
    let requested = json!({"attribution": {"prompt": {"value": prompt, "source": "claim:prompt", "verified": true}},
        "method": "GET", "requestURI": format!("/{name}"), "verb": "get", "decision": {"allowed": true, "rule": "r"},
        "objectRef": {"apiVersion": "v1", "resource": "secrets", "namespace": "shop", "name": name}});
    row.requested = Some(serde_json::from_value(requested).unwrap());
    row
}

fn session(id: &str) -> SessionSummary {
    SessionSummary { session: id.to_owned(), ..SessionSummary::default() }
}

fn opened(exchanges: Vec<ExchangeSummary>) -> App {
    let mut app = App::new();
    app.show_sessions(&[session("s-1"), session("s-2")]);
    app.open_session(SessionDetail { summary: session("s-1"), exchanges, gaps: Vec::new(), next: None });
    app
}

fn press(app: &mut App, keys: &str) -> Wish {
    let mut wish = Wish::Nothing;
    for key in keys.chars() {
        let code = match key {
            '\n' => KeyCode::Enter,
            '\u{1b}' => KeyCode::Esc,
            key => KeyCode::Char(key),
        };
        wish = app.key(KeyEvent::new(code, KeyModifiers::NONE));
    }
    wish
}

fn screen(app: &mut App) -> String {
    let mut terminal = Terminal::new(TestBackend::new(100, 24)).unwrap();
    terminal.draw(|frame| view::draw(frame, app)).unwrap();
    let buffer = terminal.backend().buffer();
    let text = buffer.content().chunks(100).map(|line| {
        let line: String = line.iter().map(|cell| cell.symbol()).collect();
        format!("{}\n", line.trim_end())
    });
    text.collect()
}

#[test]
fn keys_lead_from_sessions_to_steps_and_back() {
    let steps = vec![exchange("e-1", "db", "p-1", 1), exchange("e-2", "tls", "p-2", 2)];
    let mut app = opened(steps);
    let text = screen(&mut app);
    for shown in
        ["Session s-1", "Prompt p-1", "read Secret db in shop", "Prompt p-2", "read Secret tls in shop"]
    {
        assert!(text.contains(shown), "{shown} in {text}");
    }
    assert_eq!(press(&mut app, "/SECRET TLS\n\n"), Wish::Step("e-2".into()));
    assert_eq!(press(&mut app, "/nowhere\n"), Wish::Nothing);
    assert!(screen(&mut app).contains("Nothing has \"nowhere\"."));
    assert_eq!(press(&mut app, "k"), Wish::Nothing);
    assert!(!screen(&mut app).contains("Nothing has"));
    assert_eq!(press(&mut app, "N\u{1b}"), Wish::Nothing);
    assert_eq!(app.page, Page::Sessions);
    assert!(screen(&mut app).contains("s-2"));
    assert_eq!(press(&mut app, "j\n"), Wish::Session("s-2".into()));
    assert!({
        press(&mut app, "?");
        screen(&mut app).contains("next, previous line")
    });
    assert_eq!(press(&mut app, "qq"), Wish::Quit, "the first closes the help");
}

#[test]
fn a_followed_session_keeps_its_newest_step_in_sight() {
    let mut app = opened((0..100).map(|n| exchange(&format!("e-{n}"), &format!("n{n}"), "p", n)).collect());
    press(&mut app, "f");
    app.add(&[exchange("e-new", "newest", "p", 1000)]);
    let text = screen(&mut app);
    assert!(text.contains("read Secret newest in shop") && text.contains("following"), "{text}");
    let lines = app.session.rows.len();
    app.add(&[exchange("e-new", "changed", "p", 1000)]);
    assert_eq!(app.session.rows.len(), lines, "what is known changes where it stands");
    assert!(screen(&mut app).contains("read Secret changed in shop"));
}

#[test]
fn hostile_records_are_inert() {
    let evil = "\u{1b}[2J\u{1b}]0;pwn\u{7}\u{9b}31m\r\n\u{202e}gnp\u{200b}\u{feff}\u{2028}\u{e0041}<script>";
    let mut app = opened(vec![exchange("e-1", evil, evil, 1)]);
    app.show_sessions(&[session(evil)]);
    for keys in ["", "/\u{202e}\u{9b}", "\n", "\u{1b}"] {
        press(&mut app, keys);
        let text = screen(&mut app);
        let bad: Vec<char> = text
            .chars()
            .filter(|c| {
                (c.is_control() && *c != '\n') || "\u{202e}\u{200b}\u{feff}\u{2028}\u{e0041}".contains(*c)
            })
            .collect();
        assert!(bad.is_empty(), "{bad:?} in {text}");
    }
}

#[test]
fn fifty_thousand_steps_are_fluid() {
    let mut app = opened(Vec::new());
    let steps: Vec<_> = (0..50_000).map(|n| exchange(&format!("e-{n}"), &format!("n{n}"), "p", n)).collect();
    for page in steps.chunks(500) {
        app.add(page);
    }
    let mut terminal = Terminal::new(TestBackend::new(200, 60)).unwrap();
    for (keys, longest) in
        [("GkgjG ", Duration::from_millis(200)), ("/n49999\n", Duration::from_millis(1000))]
    {
        let began = Instant::now();
        for _ in 0..10 {
            for key in keys.chars() {
                press(&mut app, &key.to_string());
                terminal.draw(|frame| view::draw(frame, &mut app)).unwrap();
            }
        }
        let each = began.elapsed() / 10;
        assert!(each < longest, "{keys:?} takes {each:?}");
    }
    assert!(app.session.rows.len() >= 50_000);
}
