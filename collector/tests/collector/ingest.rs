//! Posting batches: what is taken, what is refused, and that nothing acknowledged is lost.

use crate::support::*;
use serde_json::json;

on_each_database!(
    an_acknowledged_batch_outlives_a_kill,
    other_bytes_under_a_number_are_a_remembered_alarm,
    batches_arrive_in_any_order,
    only_the_ingest_token_may_post,
    what_is_no_batch_is_refused,
    an_entry_may_not_rewrite_another_recorders_exchange,
    a_full_queue_says_so,
    operators_see_how_it_is,
    it_does_not_start_without_an_ingest_token,
);

fn an_acknowledged_batch_outlives_a_kill() {
    let place = Place::new();
    let bodies = chain("r-1", &[&[pods("s", "e-1", 0)], &[pods("s", "e-2", 5)]]);
    let server = place.serve(&[]);
    for (number, body) in bodies.iter().enumerate() {
        let answer = server.post(body);
        assert_eq!(
            (answer.status, answer.json()),
            (200, json!({"recorder": "r-1", "batch": number})),
            "{answer:?}"
        );
    }
    server.kill();

    let server = place.serve(&[]);
    assert_eq!(server.get("/v1/sessions/s").json()["requests"], 2);
    assert_eq!(server.post(&bodies[0]).status, 200, "posted again, it is known");
    assert_eq!(server.get("/v1/sessions/s").json()["requests"], 2, "and changes nothing");
    assert_eq!(server.metric("chaperone_collector_retries_total"), 1.0);
    server.terminate();
    if place.is_file() {
        assert_eq!(files(place.folder.path()), ["records.db"], "the log is folded in and the port file gone");
    }
    let verified = place.json(&["verify", "--chains-only", "-o", "json"]);
    assert_eq!((&verified["batches"], &verified["problems"]), (&json!(2), &json!([])));
}

fn other_bytes_under_a_number_are_a_remembered_alarm() {
    let place = Place::new();
    let server = place.serve(&[]);
    assert_eq!(server.post(&batch("r-1", 0, ZEROS, &[pods("s", "e-1", 0)])).status, 200);
    let other = batch("r-1", 0, ZEROS, &[pods("s", "e-2", 0)]);
    for _ in 0..2 {
        let answer = server.post(&other);
        assert_eq!((answer.status, &answer.json()["code"]), (409, &json!("fork")));
        assert_eq!(answer.headers["content-type"], "application/problem+json");
    }
    assert_eq!(server.metric("chaperone_collector_refusals_total{reason=\"fork\"}"), 2.0);
    assert_eq!(server.metric("chaperone_collector_forks_total"), 1.0);
    assert_eq!(server.get("/v1/recorders").json()[0]["forks"], 1);
    assert_eq!(server.get("/v1/exchanges/e-2").status, 404, "nothing of it is indexed");
    let output = place.run(&["verify"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("WRONG recorder r-1, batch 0: other bytes came")
    );
}

fn batches_arrive_in_any_order() {
    let object = json!({"resource": "configmaps", "apiVersion": "v1", "namespace": "shop"});
    let request = with(
        head("s", "e-1", "create", "/api/v1/namespaces/shop/configmaps", object),
        json!({"type": "request", "timing": {"received": at(0)}}),
    );
    let body = json!({"type": "request", "exchange": "e-1", "session": "s", "requestObject": {"metadata": {"name": "settings"}},
        "requestDigest": {"sha256": ZEROS, "bytes": 33}, "timing": {"forwarded": at(3)}});
    let response = json!({"type": "response", "exchange": "e-1", "session": "s", "responseStatus": {"code": 201},
        "outcome": "complete", "timing": {"complete": at(20)}});
    let bodies = chain("r-1", &[&[request], &[body], &[response]]);
    let mut results = Vec::new();
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let place = Place::new();
        let server = place.serve(&[]);
        for (seen, index) in order.iter().enumerate() {
            assert_eq!(server.post(&bodies[*index]).status, 200);
            let exchange = server.get("/v1/exchanges/e-1").json();
            let whole = order[..=seen].contains(&0) && order[..=seen].contains(&2);
            assert_eq!(
                exchange["state"],
                if whole { "complete" } else { "incomplete" },
                "{order:?} after {seen}"
            );
        }
        let (exchange, session) =
            (server.get("/v1/exchanges/e-1").json(), server.get("/v1/sessions/s").json());
        assert_eq!(exchange["objectName"], "settings");
        assert_eq!(exchange["delivery"], "confirmed");
        assert_eq!(
            (&session["requests"], &session["writes"], &session["incomplete"]),
            (&json!(1), &json!(1), &json!(0))
        );
        results.push((exchange, session));
    }
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "{results:#?}");
}

fn only_the_ingest_token_may_post() {
    let place = Place::new();
    let server = place.serve(&[]);
    let body = batch("r-1", 0, ZEROS, &[pods("s", "e-1", 0)]);
    let auditor = format!("Bearer {AUDITOR}");
    for authorization in ["", "Bearer", "Bearer wrong", auditor.as_str(), "Basic aW5nZXN0"] {
        let answer = server.post_with(&body, &[("authorization", authorization)]);
        assert_eq!((answer.status, &answer.json()["code"]), (401, &json!("unauthorized")), "{authorization}");
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
    }
    assert_eq!(server.post_with(&body, &[]).status, 401);
    assert_eq!(server.get("/v1/recorders").json(), json!([]));
}

fn what_is_no_batch_is_refused() {
    let place = Place::new();
    let server = place.serve(&["--max-batch-bytes=1000"]);
    let marker = "hunter2";
    for (name, body, status) in [
        ("nothing", Vec::new(), 400),
        ("garbage", marker.as_bytes().to_vec(), 400),
        ("bytes", vec![0xff; 100], 400),
        ("another document", format!(r#"{{"recorder":"{marker}"}}"#).into_bytes(), 400),
        ("an unknown entry", batch("r-1", 0, ZEROS, &[json!({"type": marker})]), 400),
        ("a hostile recorder", batch("../../r", 0, ZEROS, &[]), 400),
        ("a twisted previous", batch("r-1", 0, marker, &[]), 400),
        ("a truncated batch", batch("r-1", 0, ZEROS, &[])[..60].to_vec(), 400),
        ("deep nesting", "[".repeat(900).into_bytes(), 400),
        ("too many bytes", batch("r-1", 0, ZEROS, &[pods(&"s".repeat(1000), "e-1", 0)]), 413),
    ] {
        let answer = server.post(&body);
        assert_eq!(answer.status, status, "{name}: {answer:?}");
        assert_eq!(answer.headers["content-type"], "application/problem+json", "{name}");
        assert!(!answer.body.contains(marker), "{name}: the answer quotes the batch");
    }
    let gzip = [("authorization", &*format!("Bearer {INGEST}")), ("content-encoding", "gzip")];
    assert_eq!(server.post_with(b"{}", &gzip).status, 415);
    assert_eq!(server.get("/v1/recorders").json(), json!([]));
    assert_eq!(server.post(&batch("r-1", 0, ZEROS, &[])).status, 200, "and it still takes batches");
}

fn an_entry_may_not_rewrite_another_recorders_exchange() {
    let place = Place::new();
    let server = place.serve(&[]);
    assert_eq!(server.post(&batch("r-1", 0, ZEROS, &[pods("s", "e-1", 0)])).status, 200);
    let forged = json!({"type": "end", "exchange": "e-1", "session": "s", "responseStatus": {"code": 500}, "outcome": "cut"});
    assert_eq!(server.post(&batch("r-2", 0, ZEROS, &[forged])).status, 200);
    let exchange = server.get("/v1/exchanges/e-1").json();
    assert_eq!((&exchange["state"], &exchange["recorder"]), (&json!("complete"), &json!("r-1")));
    assert_eq!(server.metric("chaperone_collector_entries_foreign_total"), 1.0);
}

/// While another process holds the database, batches wait up to the queue's bound and then meet 429; when it lets go,
/// what waited is stored.
fn a_full_queue_says_so() {
    let place = Place::new();
    let server = place.serve(&["--queue-batches=1"]);
    let bodies = chain(
        "r-1",
        &[&[pods("s", "e-1", 0)], &[pods("s", "e-2", 1)], &[pods("s", "e-3", 2)], &[pods("s", "e-4", 3)]],
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut lock = runtime.block_on(place.lock());
    std::thread::scope(|scope| {
        let posts: Vec<_> = bodies
            .iter()
            .map(|body| {
                let server = &server;
                scope.spawn(move || {
                    loop {
                        let answer = server.post(body);
                        match answer.status {
                            429 => assert_eq!(answer.headers["retry-after"], "1"),
                            status => return status,
                        }
                    }
                })
            })
            .collect();
        // One is being written, one waits, the others are turned away until the lock is gone.
        while server.metric("chaperone_collector_refusals_total{reason=\"busy\"}") == 0.0 {
            std::thread::yield_now();
        }
        runtime.block_on(async { sqlx::query("ROLLBACK").execute(&mut lock).await.unwrap() });
        posts.into_iter().for_each(|post| assert_eq!(post.join().unwrap(), 200));
    });
    assert_eq!(server.get("/v1/sessions/s").json()["requests"], 4);
}

fn operators_see_how_it_is() {
    let place = Place::new();
    let server = place.serve(&[]);
    let address = std::fs::read_to_string(place.path("port")).unwrap();
    assert_eq!(server.base, format!("http://{}", address.trim()));
    assert_eq!(server.get_with("/healthz", None).status, 200);
    assert_eq!(server.get_with("/readyz", None).status, 200);
    assert_eq!(server.post(&batch("r-1", 0, ZEROS, &[pods("s", "e-1", 0)])).status, 200);
    assert_eq!(server.metric("chaperone_collector_batches_total"), 1.0);
    assert_eq!(server.metric("chaperone_collector_entries_total"), 1.0);
    assert_eq!(server.metric("chaperone_collector_ingest_seconds_count"), 1.0);
    assert_eq!(server.get_with("/nothing", None).json()["code"], "notFound");
    assert_eq!(server.get_with("/v1/records", None).status, 405);
}

fn it_does_not_start_without_an_ingest_token() {
    let output = Place::new().run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no ingest token"));
}
