//! What a request to exec, attach or port-forward asks for in its query (`PodExecOptions`, `PodAttachOptions`,
//! `PodPortForwardOptions`).

use super::{RequestInfo, StreamKind};
use chaperone_record::StreamOptions;

/// More ports are not forwarded at once.
const MOST_PORTS: usize = 64;

impl RequestInfo {
    /// What a stream is asked to be; none for other requests.
    pub fn stream_options(&self) -> Option<StreamOptions> {
        let kind = self.stream_kind()?;
        if !matches!(kind, StreamKind::Exec | StreamKind::Attach | StreamKind::PortForward) {
            return None;
        }
        let flag = |name| self.query.flag(name);
        Some(StreamOptions {
            container: self.query.first("container").unwrap_or_default().to_owned(),
            command: self.query.all("command").map(str::to_owned).collect(),
            stdin: flag("stdin"),
            stdout: flag("stdout"),
            stderr: flag("stderr"),
            tty: flag("tty"),
            ports: self.ports().unwrap_or_default(),
        })
    }

    /// The ports to forward, as the API server reads them: of several parameters, or of one with commas. None where one
    /// is no port.
    pub fn ports(&self) -> Option<Vec<u16>> {
        let numbers = self.query.all("ports").flat_map(|value| value.split(','));
        let port =
            |digits: &str| digits.parse::<u16>().ok().filter(|port| *port != 0 && port.to_string() == digits);
        let ports: Vec<u16> = numbers.map(port).collect::<Option<_>>()?;
        (ports.len() <= MOST_PORTS).then_some(ports)
    }
}
