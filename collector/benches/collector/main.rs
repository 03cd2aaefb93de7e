//! How much a collector carries: `make bench-collector SIZE="10000 100000"` prints what it took in a second, what an
//! exchange takes on disk and in processor time, and how long questions take.

mod load;
mod place;
// The tests ask more of it.
#[allow(dead_code)]
#[path = "../../tests/collector/postgres.rs"]
#[expect(dead_code, reason = "the tests also ask whether there is one")]
mod postgres;
mod questions;

use clap::Parser;
use comfy_table::Table;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::DecodePrivateKey as _;
use load::Load;
use place::{INGEST, Place, agent};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

/// Which load, on what.
#[derive(Parser)]
struct Arguments {
    /// Exchanges.
    #[arg(long, num_args = 1.., default_values_t = [10_000, 100_000])]
    size: Vec<u64>,
    /// sqlite or postgres.
    #[arg(long, num_args = 1.., default_values_t = ["sqlite".to_owned(), "postgres".to_owned()])]
    database: Vec<String>,
    /// How many of a hundred exchanges have a body.
    #[arg(long, default_value_t = 15)]
    bodies: u64,
    /// Batches in flight.
    #[arg(long, default_value_t = 64)]
    posters: usize,
    /// How often each question is asked.
    #[arg(long, default_value_t = 200)]
    questions: usize,
    /// Another build of the collector, to compare.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_chaperone"), hide_default_value = true)]
    program: PathBuf,
    /// What Cargo passes.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let arguments = Arguments::parse();
    for size in &arguments.size {
        for database in &arguments.database {
            measure(&arguments, *size, database);
        }
    }
}

fn measure(arguments: &Arguments, size: u64, database: &str) {
    println!(
        "\n== {size} exchanges, {} % with a body, {database}; load average {}",
        arguments.bodies,
        load_average()
    );
    let mut place = Place::new(&arguments.program, database == "postgres");
    let ingested = ingest(&place, arguments, size);
    let (server, postgres) = place.processor_seconds();
    let seconds = ingested.took.as_secs_f64();
    let each = |seconds: f64| format!("{:.0} µs", seconds * 1e6 / size as f64);
    print(
        &["ingested", ""],
        &[
            ("exchanges a second".to_owned(), format!("{:.0}", size as f64 / seconds)),
            ("MB a second".to_owned(), format!("{:.1}", ingested.bytes as f64 / 1e6 / seconds)),
            ("exchanges a batch".to_owned(), format!("{:.0}", size as f64 / ingested.latencies.len() as f64)),
            ("bytes of an exchange, as posted".to_owned(), (ingested.bytes / size).to_string()),
            ("acknowledged, p50".to_owned(), milliseconds(percentile(&ingested.latencies, 50))),
            ("acknowledged, p99".to_owned(), milliseconds(percentile(&ingested.latencies, 99))),
            ("answered 429".to_owned(), ingested.busy.to_string()),
            ("processor time of an exchange, collector".to_owned(), each(server)),
            ("processor time of an exchange, PostgreSQL".to_owned(), each(postgres)),
            ("most memory of the collector".to_owned(), format!("{} MiB", place.peak_memory())),
        ],
    );
    let sizes = place.sizes();
    let total: u64 = sizes.iter().map(|(_, bytes)| bytes).sum();
    let share = |bytes: u64| (bytes / size).to_string();
    let mut rows = vec![("all".to_owned(), share(total))];
    rows.extend(
        sizes.iter().filter(|(_, bytes)| *bytes >= size).map(|(name, bytes)| (name.clone(), share(*bytes))),
    );
    print(&["on disk", "bytes of an exchange"], &rows);
    questions::ask(&place, size, arguments.questions);
    println!("load average {}", load_average());
}

/// What posting came to.
struct Ingested {
    took: Duration,
    bytes: u64,
    busy: u64,
    /// From the first byte to the acknowledgement, in order of length.
    latencies: Vec<Duration>,
}

fn ingest(place: &Place, arguments: &Arguments, size: u64) -> Ingested {
    let key = SigningKey::from_pkcs8_pem(&place.pem).unwrap();
    let load = Load::new(size, arguments.bodies, key, &place.kid);
    let (made, batches) = mpsc::sync_channel(arguments.posters * 2);
    let batches = Arc::new(Mutex::new(batches));
    let all = Mutex::new(Ingested { took: Duration::ZERO, bytes: 0, busy: 0, latencies: Vec::new() });
    let agent = agent();
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..arguments.posters {
            let (batches, agent, all) = (batches.clone(), agent.clone(), &all);
            scope.spawn(move || {
                let next = || batches.lock().unwrap().recv().ok();
                while let Some(batch) = next() {
                    let (busy, latency) = post(place, &agent, &batch);
                    let mut all = all.lock().unwrap();
                    all.bytes += batch.body.len() as u64;
                    all.busy += busy;
                    all.latencies.push(latency);
                }
            });
        }
        load.for_each(|batch| made.send(batch).unwrap());
        drop(made);
    });
    let mut ingested = all.into_inner().unwrap();
    ingested.took = started.elapsed();
    ingested.latencies.sort_unstable();
    ingested
}

/// Posts until it is taken, as a filter does. Returns how often it was refused for now, and how long it took.
fn post(place: &Place, agent: &ureq::Agent, batch: &load::Signed) -> (u64, Duration) {
    let started = Instant::now();
    let mut busy = 0;
    loop {
        let request = agent.post(format!("{}/v1/records", place.base));
        let request = request.header("authorization", format!("Bearer {INGEST}"));
        let mut answer = request.header("chaperone-signature", &batch.signature).send(&batch.body).unwrap();
        match answer.status().as_u16() {
            200 => {
                answer.body_mut().read_to_vec().unwrap();
                return (busy, started.elapsed());
            }
            429 => {
                busy += 1;
                std::thread::sleep(Duration::from_millis(50));
            }
            _ => panic!("{}", answer.body_mut().read_to_string().unwrap()),
        }
    }
}

fn percentile(ordered: &[Duration], percent: usize) -> Duration {
    ordered.get(ordered.len().saturating_sub(1) * percent / 100).copied().unwrap_or_default()
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

fn load_average() -> String {
    let all = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    all.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

fn print(header: &[&str], rows: &[(String, String)]) {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN).set_header(header);
    for (name, value) in rows {
        table.add_row([name, value]);
    }
    println!("{table}\n");
}
