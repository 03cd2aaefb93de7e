//! A request's head: method, target, and a header a line. What is classified must be classified the same again from what
//! goes upstream.
#![no_main]

use chaperone_filter::access::Guards;
use chaperone_filter::kube::{RequestHead, RequestInfo};
use chaperone_fuzz::timed;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| timed(data, |data| {
    let mut lines = data.split(|byte| *byte == b'\n');
    let method = lines.next().unwrap_or_default().to_vec();
    let target = lines.next().unwrap_or_default().to_vec();
    let mut headers = vec![(b":method".to_vec(), method), (b":path".to_vec(), target)];
    headers.extend(lines.take(100).map(|line| {
        let at = line.iter().position(|byte| *byte == b'=').unwrap_or(line.len());
        (line[..at].to_vec(), line[at..].iter().skip(1).copied().collect())
    }));
    let head = RequestHead::new(headers);
    let _ = (head.recorded_uri(), head.recorded_method(), head.user_agent(), head.upgrades());
    if head.check().is_err() {
        return;
    }
    let Ok(info) = RequestInfo::parse(head.method(), head.path()) else { return };
    assert!(info.path == "/" || !info.path[1..].split('/').any(|part| matches!(part, "" | "." | "..")));
    let again =
        RequestInfo::parse(head.method(), info.upstream_target.as_bytes()).expect("it is taken again");
    assert_eq!(again.upstream_target, info.upstream_target);
    assert_eq!((&again.verb, &again.path), (&info.verb, &info.path));
    assert_eq!(again.object_ref(), info.object_ref());
    assert_eq!(again.stream_kind(), info.stream_kind());
    let _ = Guards::new(&[]).check(&info, &head, false);
    if let Ok(sent) = head.upstream(&info, b"Bearer injected", "id", "192.0.2.1", &|_| false) {
        for name in ["authorization", "audit-id", "accept-encoding", "x-forwarded-for", ":path"] {
            assert_eq!(sent.iter().filter(|(key, _)| key == name.as_bytes()).count(), 1, "{name}");
        }
        assert!(
            !sent.iter().any(|(name, _)| name.starts_with(b"impersonate-") || name.starts_with(b"x-remote-"))
        );
    }
}));
