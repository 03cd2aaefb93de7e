//! Confirmed delivery: no record, no action.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::rig::{Begun, Rig, acknowledgement, header, status};
use crate::exchange::{Answer, AtRequestBody, Confirmation, Exchange, Purpose};
use crate::record::Post;
use serde_json::{Value, json};

const CONFIGMAPS: &str = "/api/v1/namespaces/shop/configmaps";
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

fn begin(rig: &mut Rig) -> (Exchange, Post) {
    match rig.begin("POST", CONFIGMAPS, JSON) {
        (exchange, Begun::Confirm(_, post)) => (exchange, post),
        (_, Begun::Reply(reply)) => panic!("{}", status(&reply)),
        _ => panic!("a write waits for its record"),
    }
}

/// Up to the body's post.
fn hold(rig: &mut Rig) -> (Exchange, Post) {
    let (mut exchange, post) = begin(rig);
    assert!(matches!(rig.confirm(&mut exchange, &post, 200, &acknowledgement(&post)), Confirmation::Resume));
    let AtRequestBody::Replace(first) = rig.body(&mut exchange, br#"{"kind":"ConfigMap","#, false) else {
        panic!("all but the last byte goes on")
    };
    assert_eq!(first, br#"{"kind":"ConfigMap""#);
    match rig.body(&mut exchange, br#""data":{"a":"1"}}"#, true) {
        AtRequestBody::Confirm(rest, mut posts) => {
            assert_eq!(rest, br#","data":{"a":"1"}}"#);
            (exchange, posts.remove(0))
        }
        _ => panic!("the body waits for its record"),
    }
}

#[test]
fn a_write_goes_upstream_once_head_and_body_are_acknowledged() {
    let mut rig = Rig::new(json!({}));
    let (mut exchange, post) = hold(&mut rig);
    assert!(matches!(rig.confirm(&mut exchange, &post, 200, &acknowledgement(&post)), Confirmation::Resume));
    rig.answer(&mut exchange, 201, &json!({"kind": "ConfigMap", "data": {"a": "1"}}));
    let entries = rig.entries();
    let types: Vec<&str> = entries.iter().filter_map(|entry| entry["type"].as_str()).collect();
    assert_eq!(types, ["open", "request", "request", "response"]);
    assert_eq!(entries[1]["verb"], "create");
    assert_eq!(entries[1]["decision"]["allowed"], true);
    assert_eq!(entries[2]["requestObject"], json!({"kind": "ConfigMap", "data": {"a": "1"}}));
    assert_eq!(entries[2]["requestDigest"]["bytes"], 37);
    assert_eq!(entries[3]["responseStatus"]["code"], 201);
    assert_eq!(entries[3]["outcome"], "complete");
}

#[test]
fn a_read_of_a_secret_waits_too_and_has_no_body_to_wait_for() {
    let mut rig = Rig::new(json!({}));
    let (mut exchange, begun) = rig.begin("GET", "/api/v1/namespaces/shop/secrets/db", &[]);
    let Begun::Confirm(headers, post) = begun else { panic!("a Secret's read waits for its record") };
    assert_eq!(header(&headers, "accept-encoding").as_deref(), Some("identity"));
    assert!(matches!(rig.confirm(&mut exchange, &post, 200, &acknowledgement(&post)), Confirmation::Resume));
    let seen =
        rig.answer(&mut exchange, 200, &json!({"kind": "Secret", "data": {"password": "aHVudGVyMg=="}}));
    assert_eq!(seen["data"]["password"], "W21hc2tlZCBieSBjaGFwZXJvbmVd");
}

#[test]
fn whatever_is_not_an_acknowledgement_is_503() {
    let strange = |post: &Post| {
        let good: Value = serde_json::from_str(&acknowledgement(post)).unwrap();
        let of = |recorder: Value, batch: Value| json!({"recorder": recorder, "batch": batch}).to_string();
        vec![
            ("refused", 403, "{}".to_owned()),
            ("another's batch", 409, acknowledgement(post)),
            ("busy", 429, String::new()),
            ("failed", 500, acknowledgement(post)),
            ("timed out", 504, String::new()),
            ("nothing", 200, String::new()),
            ("garbage", 200, "<html>ok</html>".to_owned()),
            ("half", 200, acknowledgement(post)[..20].to_owned()),
            ("another recorder", 200, of(json!("someone else"), good["batch"].clone())),
            ("another batch", 200, of(good["recorder"].clone(), json!(post.batch + 1))),
            ("created", 201, acknowledgement(post)),
        ]
    };
    for at_body in [false, true] {
        for case in 0..11 {
            let mut rig = Rig::new(json!({}));
            let (mut exchange, post) = if at_body { hold(&mut rig) } else { begin(&mut rig) };
            let (name, code, body) = strange(&post).swap_remove(case);
            let Confirmation::Reply(reply) = rig.confirm(&mut exchange, &post, code, &body) else {
                panic!("{name} let a write through");
            };
            assert_eq!(
                (reply.status, status(&reply)["reason"].as_str()),
                (503, Some("ServiceUnavailable")),
                "{name}"
            );
            assert!(reply.headers.iter().any(|(header, _)| *header == "retry-after"), "{name}");
            exchange.on_log(&mut rig.gateway, rig.now);
            let ends = rig.entries_of("end");
            assert_eq!(
                (ends.len(), &ends[0]["outcome"], &ends[0]["reason"]),
                (1, &json!("refused"), &json!("unrecorded")),
                "{name}"
            );
        }
    }
}

#[test]
fn a_batch_that_failed_is_posted_again_by_the_outbox() {
    let mut rig = Rig::new(json!({}));
    let (mut exchange, post) = begin(&mut rig);
    rig.confirm(&mut exchange, &post, 500, "");
    rig.wait(5000);
    let again = rig.gateway.on_tick(rig.now);
    assert!(again.iter().any(|callout| callout.body == post.body));
}

#[test]
fn an_answer_nobody_waits_for_lets_nothing_through() {
    let mut rig = Rig::new(json!({}));
    let (mut exchange, post) = begin(&mut rig);
    let other = exchange.on_confirmation(&mut rig.gateway, rig.now, 0, post.batch + 1, true);
    assert!(matches!(other, Confirmation::Wait));
}

#[test]
fn a_client_that_leaves_while_waiting_is_recorded() {
    for at_body in [false, true] {
        let mut rig = Rig::new(json!({}));
        let (mut exchange, _) = if at_body { hold(&mut rig) } else { begin(&mut rig) };
        exchange.on_log(&mut rig.gateway, rig.now);
        exchange.on_log(&mut rig.gateway, rig.now);
        let ends = rig.entries_of("end");
        assert_eq!(ends.len(), 1);
        assert_eq!(ends[0]["outcome"], "aborted");
        assert_eq!(ends[0]["timing"]["forwarded"].is_null(), !at_body);
    }
}

#[test]
fn a_full_outbox_refuses_before_anything_is_forwarded() {
    let mut rig = Rig::new(json!({"recording": {"limits": {"outboxBytes": 1_048_576}}}));
    let agent = "x".repeat(500);
    let mut served = 0;
    let refused = loop {
        let (mut exchange, begun) = rig.begin("GET", "/api/v1/pods", &[("user-agent", &agent)]);
        match begun {
            Begun::Forward(_) => exchange.on_log(&mut rig.gateway, rig.now),
            Begun::Reply(reply) => break reply,
            Begun::Confirm(..) | Begun::Mint(_) => panic!("a read is not confirmed"),
        }
        served += 1;
        assert!(served < 5000, "the outbox is bounded");
    };
    assert_eq!(refused.status, 503);
    assert!(status(&refused)["message"].as_str().unwrap().contains("outbox"));
}

#[test]
fn where_gaps_are_wanted_a_full_outbox_lets_reads_go_on_and_counts_what_is_lost() {
    let recording = json!({"onFull": "gap", "limits": {"outboxBytes": 1_048_576}});
    let mut rig = Rig::new(json!({"recording": recording}));
    let agent = "x".repeat(500);
    let read = |rig: &mut Rig| {
        let (mut exchange, begun) = rig.begin("GET", "/api/v1/pods", &[("user-agent", &agent)]);
        assert!(matches!(begun, Begun::Forward(_)));
        exchange.on_log(&mut rig.gateway, rig.now);
    };
    (0..2000).for_each(|_| read(&mut rig));
    let (_, begun) =
        rig.begin("POST", CONFIGMAPS, &[JSON[0], ("user-agent", &agent), ("x-agent-model", &agent)]);
    match begun {
        Begun::Reply(reply) => assert_eq!(reply.status, 503, "{}", status(&reply)),
        Begun::Confirm(_, post) => panic!("confirmed by {} bytes", post.body.len()),
        _ => panic!("a write is confirmed"),
    }
    for callout in rig.gateway.on_tick(rig.now) {
        let Purpose::Batch(batch) = callout.purpose else { continue };
        let recorder: Value = serde_json::from_slice(&callout.body).unwrap();
        let body = json!({"recorder": recorder["recorder"], "batch": batch}).to_string().into_bytes();
        rig.gateway.on_answer(rig.now, 0, callout.purpose, &Answer { status: Some(200), body });
    }
    read(&mut rig);
    let gaps = rig.entries_of("gap");
    assert_eq!(gaps.len(), 1);
    assert!(gaps[0]["entries"].as_u64().unwrap() > 500, "{gaps:?}");
}

#[test]
fn a_body_whose_record_finds_no_room_is_not_confirmed_by_what_else_is_posted() {
    let mut rig = Rig::new(json!({"recording": {"limits": {"outboxBytes": 1_048_576}}}));
    let (mut exchange, post) = begin(&mut rig);
    rig.confirm(&mut exchange, &post, 200, &acknowledgement(&post));
    let chunk = [b'x'; 200_000];
    for _ in 0..6 {
        assert!(matches!(rig.body(&mut exchange, &chunk, false), AtRequestBody::Replace(_)));
    }
    let AtRequestBody::Reply(reply) = rig.body(&mut exchange, b"}", true) else { panic!("it was confirmed") };
    assert_eq!(reply.status, 503);
}

#[test]
fn a_long_body_waits_for_every_batch_that_holds_a_piece_of_it() {
    let batched = || {
        let mut rig = Rig::new(json!({"recording": {"limits": {"batchBytes": 4096}}}));
        let patch = [("content-type", "application/merge-patch+json")];
        let (mut exchange, begun) = rig.begin("PATCH", "/api/v1/namespaces/shop/configmaps/a", &patch);
        let Begun::Confirm(_, post) = begun else { panic!("a write waits for its record") };
        rig.confirm(&mut exchange, &post, 200, &acknowledgement(&post));
        for _ in 0..4 {
            rig.body(&mut exchange, &[b'x'; 5000], false);
        }
        let AtRequestBody::Confirm(_, posts) = rig.body(&mut exchange, b"}", true) else {
            panic!("it waits")
        };
        assert!(posts.len() > 3, "{} batches", posts.len());
        (rig, exchange, posts)
    };
    let (mut rig, mut exchange, posts) = batched();
    for (index, post) in posts.iter().enumerate().rev() {
        let next = rig.confirm(&mut exchange, post, 200, &acknowledgement(post));
        assert!(matches!(next, Confirmation::Wait) == (index > 0) && !matches!(next, Confirmation::Reply(_)));
    }
    let (mut rig, mut exchange, posts) = batched();
    rig.confirm(&mut exchange, &posts[2], 200, &acknowledgement(&posts[2]));
    let refused = rig.confirm(&mut exchange, &posts[0], 500, "");
    assert!(matches!(refused, Confirmation::Reply(reply) if reply.status == 503));
    for post in &posts[1..] {
        let next = rig.confirm(&mut exchange, post, 200, &acknowledgement(post));
        assert!(matches!(next, Confirmation::Wait), "nothing is answered twice");
    }
}
