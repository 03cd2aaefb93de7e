//! A real S3 server for the tests: moto's, in memory, on a port of its own, gone when it is dropped.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

pub struct S3 {
    child: Child,
    pub endpoint: String,
}

impl S3 {
    /// Starts one with an empty bucket `records`; none where it is not installed.
    pub fn start() -> Option<Self> {
        Self::start_at("0")
    }

    fn start_at(port: &str) -> Option<Self> {
        let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/s3/bin/python3");
        if !python.exists() {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "moto is needed");
            eprintln!("SKIPPED: there is no moto in .venv/s3 (`make .venv/s3`).");
            return None;
        }
        let mut child = Command::new(python)
            .args(["-u", "-m", "moto.server", "-p", port])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let endpoint = lines
            .find_map(|line| line.split_once("Running on ").map(|(_, url)| url.trim().to_owned()))
            .expect("an address");
        // Reads on: a server whose log is not read would stand still.
        std::thread::spawn(move || lines.for_each(drop));
        let server = Self { child, endpoint };
        assert_eq!(server.call("PUT", "records", b""), 200);
        Some(server)
    }

    /// Ends it and starts another, empty one at the same address.
    pub fn restart(mut self) -> Self {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let port = self.endpoint.rsplit(':').next().unwrap().to_owned();
        Self::start_at(&port).unwrap()
    }

    /// Ends it; its address stays.
    pub fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// What a client of it has in its environment.
    pub fn environment(&self) -> [(&'static str, &str); 5] {
        [
            ("AWS_ENDPOINT_URL", &self.endpoint),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_ACCESS_KEY_ID", "tester"),
            ("AWS_SECRET_ACCESS_KEY", "a-secret-of-the-tests"),
            ("AWS_REGION", "us-east-1"),
        ]
    }

    /// Asks it something past the collector: the status.
    pub fn call(&self, method: &str, path: &str, body: &[u8]) -> u16 {
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let agent: ureq::Agent = config.build().into();
        // It takes any signature, and refuses who has none.
        let somebody = "AWS4-HMAC-SHA256 Credential=tester/20261124/us-east-1/s3/aws4_request, \
            SignedHeaders=host, Signature=0";
        let request = ureq::http::Request::builder().method(method).header("authorization", somebody);
        let request = request.uri(format!("{}/{path}", self.endpoint));
        agent.run(request.body(body.to_vec()).unwrap()).unwrap().status().as_u16()
    }

    /// The keys in the bucket.
    pub fn keys(&self) -> Vec<String> {
        let url = format!("{}/records?list-type=2", self.endpoint);
        let text = ureq::get(url).call().unwrap().body_mut().read_to_string().unwrap();
        text.split("<Key>").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned()).collect()
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
