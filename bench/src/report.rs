//! Tables and plot.

use crate::measure::{Cell, Part, Plan, Results, Sample};
use crate::module::Module;
use crate::setup::Setup;
use crate::work::Work;
use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;
use plotters::prelude::*;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

const BEGIN: &str = "<!-- made by `make bench` -->";
const PLOT: &str = "![Requests of a second of processor time, against b](benchmarks.svg)";
const END: &str = "<!-- end of what `make bench` made -->";

/// A median and how far the rounds are apart.
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

/// Everything that was measured, as tables.
pub fn markdown(plan: &Plan, results: &Results, module: &Module, took: Duration) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}\n", machine(plan, took));
    legend(&mut text, plan);
    relative(&mut text, plan, results);
    per_core(&mut text, plan, results);
    latency(&mut text, plan, results);
    posted(&mut text, plan, results);
    footprints(&mut text, plan, results, module);
    if plan.sweeps {
        growth(&mut text, results);
    }
    failures(&mut text, results);
    text
}

/// Puts the tables into the page, between the marks.
pub fn write(page: &Path, tables: &str) -> Result<()> {
    let text = fs::read_to_string(page).with_context(|| page.display().to_string())?;
    let (before, rest) = text.split_once(BEGIN).context("the page has no place for tables")?;
    let (_, after) = rest.split_once(END).context("the page's place for tables has no end")?;
    Ok(fs::write(page, format!("{before}{BEGIN}\n\n{}\n\n{PLOT}\n\n{END}{after}", tables.trim_end()))?)
}

/// Requests of a second of processor time against set-up b, by kind.
pub fn plot(file: &Path, plan: &Plan, results: &Results) -> Result<()> {
    let drawing = SVGBackend::new(file, (1000, 560)).into_drawing_area();
    drawing.fill(&WHITE)?;
    let setups: Vec<Setup> = plan.setups.iter().copied().filter(|setup| *setup != Setup::Native).collect();
    let mut chart = ChartBuilder::on(&drawing)
        .caption(
            "Requests of a second of processor time, against Envoy's own jwt_authn + credential_injector",
            ("sans-serif", 17),
        )
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(52)
        .build_cartesian_2d(-0.4..plan.work.len() as f64 - 0.6, (0.01..2.0).log_scale())?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(plan.work.len())
        .x_label_formatter(&|at| {
            let place = at.round();
            let title = plan.work.get(place as usize).map_or("", |work| work.title());
            if (at - place).abs() < 0.05 && place >= 0.0 { title.to_owned() } else { String::new() }
        })
        .y_label_formatter(&|ratio| format!("{ratio}"))
        .y_desc("against b")
        .draw()?;
    for (index, &setup) in setups.iter().enumerate() {
        let colour = Palette99::pick(index).to_rgba();
        let points: Vec<(f64, f64)> = plan
            .work
            .iter()
            .enumerate()
            .filter_map(|(place, work)| {
                let spread = against(results, Part::Closed, &(place, work.title().to_owned()), setup)?;
                Some((place as f64, spread.median))
            })
            .collect();
        chart
            .draw_series(points.iter().map(|point| Circle::new(*point, 5, colour.filled())))?
            .label(format!("{} {}", setup.letter(), setup.title()))
            .legend(move |(x, y)| Circle::new((x + 8, y), 5, colour.filled()));
        chart.draw_series(LineSeries::new(points, colour.stroke_width(1)))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerLeft)
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    drawing.present()?;
    Ok(())
}

fn machine(plan: &Plan, took: Duration) -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{cores} cores ({model}), {} rounds, {} seconds in all. Clients, Envoy, API server and collector share the cores.",
        plan.rounds,
        took.as_secs()
    )
}

fn legend(text: &mut String, plan: &Plan) {
    let _ = writeln!(text, "| | set-up |\n|---|---|");
    for setup in &plan.setups {
        let _ = writeln!(text, "| {} | {} |", setup.letter(), setup.title());
    }
}

fn row_of(work: &(usize, &Work)) -> (usize, String) {
    (work.0, work.1.title().to_owned())
}

fn relative(text: &mut String, plan: &Plan, results: &Results) {
    if !plan.setups.contains(&Setup::Native) {
        return;
    }
    heading(
        text,
        "Requests of a second of processor time, against b",
        "Median of the rounds' ratios [least–most]; 16 clients, HTTP/2, TLS on both sides, one worker. Processor time is Envoy's and that of what it asks (d); more is better.",
    );
    header(text, "", plan.setups.iter().map(|setup| setup.letter().to_owned()));
    for work in plan.work.iter().enumerate() {
        let cells = plan.setups.iter().map(|&setup| {
            against(results, Part::Closed, &row_of(&work), setup)
                .map_or("–".to_owned(), |it| format!("{:.2} [{:.2}–{:.2}]", it.median, it.least, it.most))
        });
        row(text, work.1.title(), cells);
    }
}

fn per_core(text: &mut String, plan: &Plan, results: &Results) {
    heading(
        text,
        "Requests a second that a worker's core carries",
        "What one second of processor time is enough for, and in brackets the microseconds a request; the same runs.",
    );
    header(text, "", plan.setups.iter().map(|setup| setup.letter().to_owned()));
    for work in plan.work.iter().enumerate() {
        let cells = plan.setups.iter().map(|&setup| {
            spread(results, Part::Closed, &row_of(&work), setup, Sample::cost)
                .map_or("–".to_owned(), |it| format!("{:.0} ({:.0})", 1e6 / it.median, it.median))
        });
        row(text, work.1.title(), cells);
    }
}

fn latency(text: &mut String, plan: &Plan, results: &Results) {
    heading(
        text,
        "Latency added to a's",
        "Milliseconds at the 50th, 99th and 99.9th of a hundred, counted from when a request was to be sent; 16 clients, at a fixed rate. The first line of each is a's own. All rounds' requests together.",
    );
    header(
        text,
        "",
        ["a second".to_owned()].into_iter().chain(plan.setups.iter().map(|setup| setup.letter().to_owned())),
    );
    for work in plan.work.iter().enumerate() {
        let quantiles = |setup| {
            let all = merged(results, Part::Open, &row_of(&work), setup)?;
            Some([0.5, 0.99, 0.999].map(|at| all.value_at_quantile(at) as f64 / 1e6))
        };
        let base = quantiles(Setup::PassThrough);
        let cells = plan.setups.iter().map(|&setup| match (quantiles(setup), base) {
            (Some([p50, p99, p999]), _) if setup == Setup::PassThrough => {
                format!("{p50:.2} / {p99:.2} / {p999:.2}")
            }
            (Some(own), Some(base)) => {
                let [p50, p99, p999] = [0, 1, 2].map(|at| own[at] - base[at]);
                format!("{p50:+.2} / {p99:+.2} / {p999:+.2}")
            }
            _ => "–".to_owned(),
        });
        row(text, work.1.title(), [format!("{:.0}", work.1.rate())].into_iter().chain(cells));
    }
}

fn posted(text: &mut String, plan: &Plan, results: &Results) {
    heading(
        text,
        "Bytes posted a request",
        "With the headers of the posts. In brackets the microseconds of the collector's processor time. d posts by itself, what g posts.",
    );
    let setups: Vec<Setup> = plan
        .setups
        .iter()
        .copied()
        .filter(|setup| setup.is_chaperone() || matches!(setup, Setup::Lua | Setup::ExtProc))
        .collect();
    header(text, "", setups.iter().map(|setup| setup.letter().to_owned()));
    for work in plan.work.iter().enumerate() {
        let cells = setups.iter().map(|&setup| {
            let posted = spread(results, Part::Closed, &row_of(&work), setup, |sample| sample.posted);
            let collector = spread(results, Part::Closed, &row_of(&work), setup, |sample| sample.collector);
            match (posted, collector) {
                (Some(posted), _) if setup == Setup::Lua => format!("{:.0}", posted.median),
                (Some(_), Some(collector)) if setup == Setup::ExtProc => format!("({:.0})", collector.median),
                (Some(posted), Some(collector)) => format!("{:.0} ({:.0})", posted.median, collector.median),
                _ => "–".to_owned(),
            }
        });
        row(text, work.1.title(), cells);
    }
}

fn footprints(text: &mut String, plan: &Plan, results: &Results, module: &Module) {
    heading(
        text,
        "Start and memory",
        "Until Envoy serves; resident memory after the first requests of 64 clients, with one worker and with two.",
    );
    header(
        text,
        "",
        ["start, ms", "1 worker, MiB", "2 workers, MiB", "a worker more, MiB"].map(str::to_owned).into_iter(),
    );
    for setup in &plan.setups {
        let Some(all) = results.footprints.get(setup) else { continue };
        let median = |figure: &dyn Fn(&crate::measure::Footprint) -> f64| {
            Spread::of(all.iter().map(figure)).map_or(0.0, |it| it.median)
        };
        let cells = [
            format!("{:.0}", median(&|it| it.started_in.as_secs_f64() * 1e3)),
            format!("{:.1}", median(&|it| it.resident[0] as f64 / 1024.0)),
            format!("{:.1}", median(&|it| it.resident[1] as f64 / 1024.0)),
            format!("{:.1}", median(&|it| (it.resident[1] as f64 - it.resident[0] as f64) / 1024.0)),
        ];
        row(text, setup.letter(), cells.into_iter());
    }
    let kib = |bytes: usize| bytes as f64 / 1024.0;
    let _ = writeln!(
        text,
        "\nThe module: {:.0} KiB, of which code {:.0} and constants {:.0}.",
        kib(module.size),
        kib(module.code),
        kib(module.constants)
    );
}

fn growth(text: &mut String, results: &Results) {
    let varied = [Setup::PassThrough, Setup::Native, Setup::Metadata, Setup::RequestResponse];
    heading(
        text,
        "How it grows",
        "Microseconds of processor time a GET of 2 KiB, and in brackets requests a second in the closed loop.",
    );
    for (part, title) in [
        (Part::Clients, "clients"),
        (Part::Workers, "workers"),
        (Part::Protocol, "protocol"),
        (Part::Size, "body"),
        (Part::Rules, "rules of access"),
    ] {
        let _ = writeln!(text);
        header(text, title, varied.iter().map(|setup| setup.letter().to_owned()));
        for at in rows(results, part) {
            let cells = varied.map(|setup| {
                let cost = spread(results, part, &at, setup, Sample::cost);
                let rate = spread(results, part, &at, setup, |sample| sample.rate);
                cost.zip(rate).map_or("–".to_owned(), |(cost, rate)| {
                    format!("{:.0} ({:.0})", cost.median, rate.median)
                })
            });
            row(text, &at.1, cells.into_iter());
        }
    }
    let _ = writeln!(
        text,
        "\nConfirmed (h), by what the collector takes longer to answer; milliseconds, 50 requests a second:\n"
    );
    header(text, "collector", ["p50", "p99"].map(str::to_owned).into_iter());
    for at in rows(results, Part::Latency) {
        let Some(all) = merged(results, Part::Latency, &at, Setup::Confirmed) else { continue };
        row(
            text,
            &format!("+{}", at.1),
            [0.5, 0.99]
                .map(|quantile| format!("{:.2}", all.value_at_quantile(quantile) as f64 / 1e6))
                .into_iter(),
        );
    }
}

fn failures(text: &mut String, results: &Results) {
    for (cell, samples) in &results.samples {
        let failed: u64 = samples.iter().map(|sample| sample.failed).sum();
        if failed > 0 {
            let _ = writeln!(text, "\nRefused: {failed} of {}, {}.", cell.setup.letter(), cell.row.1);
        }
    }
}

fn rows(results: &Results, part: Part) -> Vec<(usize, String)> {
    let mut rows: Vec<_> =
        results.samples.keys().filter(|cell| cell.part == part).map(|cell| cell.row.clone()).collect();
    rows.dedup();
    rows
}

fn samples<'a>(
    results: &'a Results,
    part: Part,
    row: &(usize, String),
    setup: Setup,
) -> Option<&'a Vec<Sample>> {
    results.samples.get(&Cell { part, row: row.clone(), setup })
}

fn spread(
    results: &Results,
    part: Part,
    row: &(usize, String),
    setup: Setup,
    figure: impl Fn(&Sample) -> f64,
) -> Option<Spread> {
    Spread::of(samples(results, part, row, setup)?.iter().map(figure))
}

/// Against set-up b in the same round.
fn against(results: &Results, part: Part, row: &(usize, String), setup: Setup) -> Option<Spread> {
    let (own, base) = (samples(results, part, row, setup)?, samples(results, part, row, Setup::Native)?);
    Spread::of(own.iter().zip(base).map(|(own, base)| base.cost() / own.cost()))
}

fn merged(results: &Results, part: Part, row: &(usize, String), setup: Setup) -> Option<Histogram<u64>> {
    let mut all = Histogram::new(3).ok()?;
    for sample in samples(results, part, row, setup)? {
        all.add(&sample.latency).ok()?;
    }
    Some(all)
}

fn heading(text: &mut String, title: &str, what: &str) {
    let _ = writeln!(text, "\n### {title}\n\n{what}\n");
}

fn header(text: &mut String, first: &str, columns: impl Iterator<Item = String>) {
    let columns: Vec<String> = columns.collect();
    let _ = writeln!(text, "| {first} | {} |\n|---|{}", columns.join(" | "), "---|".repeat(columns.len()));
}

fn row(text: &mut String, first: &str, cells: impl Iterator<Item = String>) {
    let _ = writeln!(text, "| {first} | {} |", cells.collect::<Vec<_>>().join(" | "));
}

// === impl Spread ===

impl Spread {
    fn of(figures: impl Iterator<Item = f64>) -> Option<Self> {
        let mut all: Vec<f64> = figures.collect();
        all.sort_by(f64::total_cmp);
        Some(Self { least: *all.first()?, median: *all.get(all.len() / 2)?, most: *all.last()? })
    }
}
