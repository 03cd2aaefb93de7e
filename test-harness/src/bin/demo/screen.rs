//! What the demo prints: for people at a terminal with colour and progress, elsewhere plain.

use anstream::println;
use anstyle::{AnsiColor, Style};
use comfy_table::presets::{ASCII_FULL_CONDENSED, UTF8_FULL_CONDENSED};
use comfy_table::{ContentArrangement, Table, Width};
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GREEN: Style = AnsiColor::Green.on_default().bold();
const RED: Style = AnsiColor::Red.on_default().bold();
const CYAN: Style = AnsiColor::Cyan.on_default();
const FRAMES: [&str; 4] = ["◐", "◓", "◑", "◒"];
/// Width where there is no terminal that has one.
const PLAIN_WIDTH: u16 = 130;
/// Wider is not easier to read.
const MOST_WIDTH: u16 = 150;

/// The terminal, and how many expectations held.
pub struct Screen {
    terminal: bool,
    held: usize,
    failed: Vec<String>,
}

impl Screen {
    /// Standard output.
    pub fn new() -> Self {
        Self { terminal: std::io::stdout().is_terminal(), held: 0, failed: Vec::new() }
    }

    /// Whether colour is seen.
    pub fn colour(&self) -> bool {
        self.terminal && std::env::var_os("NO_COLOR").is_none()
    }

    /// A new part begins.
    pub fn title(&self, text: &str) {
        println!("\n{BOLD}{text}{BOLD:#}\n");
    }

    /// A sentence.
    pub fn say(&self, text: &str) {
        println!("  {text}");
    }

    /// Does something that takes a while, and shows that it goes on.
    pub async fn during<T>(
        &self,
        what: &str,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let begun = Instant::now();
        let mut work = std::pin::pin!(work);
        let mut ticks = tokio::time::interval(Duration::from_millis(120));
        for frame in FRAMES.iter().cycle() {
            tokio::select! {
                done = &mut work => {
                    let mark = if done.is_ok() { format!("{GREEN}✓{GREEN:#}") } else { format!("{RED}✗{RED:#}") };
                    println!("{}{mark} {what} {DIM}({:.1} s){DIM:#}", self.line_start(), begun.elapsed().as_secs_f64());
                    return done;
                }
                _ = ticks.tick(), if self.terminal => {
                    anstream::print!("{}{CYAN}{frame}{CYAN:#} {what} {DIM}{} s{DIM:#}", self.line_start(), begun.elapsed().as_secs());
                    std::io::stdout().flush()?;
                }
            }
        }
        unreachable!("frames go on for ever")
    }

    /// Over what the progress left there.
    fn line_start(&self) -> &'static str {
        if self.terminal { "\r\x1b[2K  " } else { "  " }
    }

    /// A command of the agent's.
    pub fn prompt(&self, arguments: &str) {
        println!("\n  {CYAN}agent${CYAN:#} {BOLD}kubectl {arguments}{BOLD:#}");
    }

    /// What it printed.
    pub fn output(&self, text: &str) {
        text.lines().for_each(|line| println!("  {line}"));
    }

    /// A command of the auditor's, with what it printed.
    pub fn auditor(&self, arguments: &str, output: &str) {
        println!("  {CYAN}auditor${CYAN:#} {BOLD}chaperone {arguments}{BOLD:#}");
        output.trim_end().lines().for_each(|line| println!("  {line}"));
        println!();
    }

    /// An expectation.
    pub fn check(&mut self, expectation: &str, holds: bool) {
        if holds {
            self.held += 1;
            println!("  {GREEN}✓{GREEN:#} {expectation}");
        } else {
            self.failed.push(expectation.to_owned());
            println!("  {RED}✗ {expectation}{RED:#}");
        }
    }

    /// One step from both sides.
    pub fn side_by_side(&self, agent: &str, auditor: &str) {
        let mut table = Table::new();
        table
            .load_style(if self.terminal { UTF8_FULL_CONDENSED } else { ASCII_FULL_CONDENSED })
            .set_content_arrangement(ContentArrangement::DynamicFullWidth)
            .set_header(["what the agent saw", "what the auditor sees"])
            .add_row([agent, auditor]);
        let width = table.width().filter(|width| self.terminal && *width >= 60);
        table.set_width(width.unwrap_or(PLAIN_WIDTH).min(MOST_WIDTH));
        table.set_constraints(
            [50, 50].map(|percent| comfy_table::ColumnConstraint::Absolute(Width::Percentage(percent))),
        );
        println!("{table}\n");
    }

    /// Names and commands, to be copied.
    pub fn commands(&self, lines: &[(&str, String)]) {
        for (name, command) in lines {
            println!("  {DIM}{name:<16}{DIM:#}{command}");
        }
        println!();
    }

    /// Says whether every expectation held.
    pub fn verdict(&self) -> bool {
        let all = self.held + self.failed.len();
        if self.failed.is_empty() {
            println!("{GREEN}All {all} expectations held.{GREEN:#}");
        } else {
            println!("{RED}{} of {all} expectations did not hold:{RED:#}", self.failed.len());
            self.failed.iter().for_each(|failed| println!("{RED}  ✗ {failed}{RED:#}"));
        }
        self.failed.is_empty()
    }
}
