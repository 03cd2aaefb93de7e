//! A PostgreSQL for the tests: one cluster for all of them, in a temporary folder, gone when they end, however they end.

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};

/// Starts the cluster, prints its folder once it takes connections, and takes all of it away when its input ends: at
/// the end of this process.
const SCRIPT: &str = r#"
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$1/initdb" -D "$folder/data" -U chaperone -A trust -E UTF8 --locale=C --no-sync >"$folder/log" 2>&1 </dev/null
"$1/postgres" -D "$folder/data" -k "$folder" -c listen_addresses= -c max_connections=500 >>"$folder/log" 2>&1 </dev/null &
until "$1/pg_isready" -q -h "$folder" -U chaperone; do kill -0 $! || { cat "$folder/log" >&2; exit 1; }; sleep 0.05; done
echo "$folder"
read -r _ || true
kill -INT $!
wait $! || true
"#;

/// The cluster, while this process runs.
struct Cluster {
    folder: String,
    /// Holds its input open.
    _keeper: Child,
    databases: Mutex<usize>,
}

fn cluster() -> Option<&'static Cluster> {
    static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
    CLUSTER.get_or_init(|| Some(start(programs()?))).as_ref()
}

/// Debian's folder of the newest PostgreSQL's programs.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.filter_map(Result::ok);
    let folders = versions.map(|version| version.path().join("bin"));
    folders.filter(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file()).max()
}

fn start(programs: PathBuf) -> Cluster {
    // The server refuses to run as root.
    let root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    let mut command = Command::new("setsid");
    if root {
        command.args(["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    command.args(["sh", "-c", SCRIPT, "sh"]).arg(programs).current_dir("/");
    let mut keeper = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut folder = String::new();
    BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut folder).unwrap();
    assert!(!folder.is_empty(), "PostgreSQL did not start");
    Cluster { folder: folder.trim().to_owned(), _keeper: keeper, databases: Mutex::new(0) }
}

/// Whether there is a PostgreSQL on this machine.
pub fn is_there() -> bool {
    cluster().is_some()
}

/// The URL of a new, empty database.
pub fn new_database() -> String {
    let cluster = cluster().expect("PostgreSQL");
    // One at a time: a template in use cannot be copied.
    let mut count = cluster.databases.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    *count += 1;
    let name = format!("t{count}");
    administer(&format!("CREATE DATABASE {name}"));
    format!("postgres://chaperone@localhost/{name}?host={}", cluster.folder)
}

/// Does something to the whole cluster.
pub fn administer(statements: &str) {
    let options = PgConnectOptions::new_without_pgpass()
        .socket(&cluster().expect("PostgreSQL").folder)
        .username("chaperone")
        .database("postgres");
    let statements = AssertSqlSafe(statements.to_owned());
    // In a thread of its own: the test may be in a runtime already.
    let administer = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut connection = options.connect().await.unwrap();
            sqlx::raw_sql(statements).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        });
    });
    administer.join().unwrap();
}
