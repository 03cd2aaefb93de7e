//! What goes upstream in place of the agent's token.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::rig::{Begun, Rig, UPSTREAM_TOKEN, acknowledgement, header, status};
use serde_json::{Value, json};

const POD: &str = "/api/v1/namespaces/shop/pods/web";

fn minting() -> Value {
    json!({"credential": {"tokenRequest": {
        "cluster": "kubernetes-api",
        "rules": [{"groups": ["dev"], "serviceAccount": "agent", "namespace": "shop"}],
    }}})
}

fn grant() -> Value {
    json!({"kind": "TokenRequest", "status": {"token": "minted-token", "expirationTimestamp": "2026-11-24T13:00:00Z"}})
}

#[test]
fn a_token_is_minted_before_the_record_that_names_it() {
    let mut rig = Rig::new(minting());
    let (mut exchange, begun) = rig.begin("DELETE", POD, &[]);
    let Begun::Mint(callout) = begun else { panic!("a token is asked for first") };
    assert_eq!(callout.cluster, "kubernetes-api");
    assert!(callout.headers.contains(&("authorization", format!("Bearer {UPSTREAM_TOKEN}"))));
    let Begun::Confirm(headers, post) = rig.token_granted(&mut exchange, 201, &grant()) else {
        panic!("then the record is confirmed")
    };
    assert_eq!(header(&headers, "authorization").as_deref(), Some("Bearer minted-token"));
    rig.confirm(&mut exchange, &post, 200, &acknowledgement(&post));
    rig.answer(&mut exchange, 200, &json!({"kind": "Status"}));
    assert_eq!(
        rig.entries_of("request")[0]["credential"],
        json!({"serviceAccount": "agent", "namespace": "shop"})
    );

    let (_, begun) = rig.begin("GET", POD, &[]);
    let Begun::Forward(headers) = begun else { panic!("the next request finds it") };
    assert_eq!(header(&headers, "authorization").as_deref(), Some("Bearer minted-token"));
}

#[test]
fn without_a_token_nothing_goes_upstream() {
    let mut rig = Rig::new(minting());
    let (mut exchange, _) = rig.begin("GET", POD, &[]);
    let Begun::Reply(reply) = rig.token_granted(&mut exchange, 403, &json!({})) else { panic!("refused") };
    assert_eq!(reply.status, 503);
    assert!(status(&reply)["message"].as_str().unwrap().contains("shop/agent"));
    exchange.on_log(&mut rig.gateway, rig.now);
    let (mut left, begun) = rig.begin("GET", POD, &[]);
    assert!(matches!(begun, Begun::Reply(_)), "a failure is remembered for a moment");
    left.on_log(&mut rig.gateway, rig.now);
    rig.wait(2000);
    let (mut left, begun) = rig.begin("GET", POD, &[]);
    assert!(matches!(begun, Begun::Mint(_)));
    left.on_log(&mut rig.gateway, rig.now);
    let outcomes: Vec<Value> =
        rig.entries_of("exchange").iter().map(|entry| entry["outcome"].clone()).collect();
    assert_eq!(outcomes, ["refused", "refused", "aborted"]);
}

#[test]
fn a_token_the_api_server_rejects_is_not_sent_again() {
    let mut rig = Rig::new(minting());
    let (mut exchange, _) = rig.begin("GET", POD, &[]);
    rig.token_granted(&mut exchange, 201, &grant());
    rig.answer(&mut exchange, 401, &json!({"kind": "Status", "code": 401}));
    assert!(matches!(rig.begin("GET", POD, &[]).1, Begun::Mint(_)));
}

#[test]
fn impersonation_headers_are_the_filters_own() {
    let mut rig = Rig::new(json!({"credential": {"impersonate": true}}));
    let agents =
        [("impersonate-user", "admin"), ("impersonate-group", "system:masters"), ("x-agent-model", "m-1")];
    let (_, begun) = rig.begin("GET", POD, &agents);
    let Begun::Forward(headers) = begun else { panic!("a read goes upstream") };
    assert_eq!(header(&headers, "impersonate-user").as_deref(), Some("alice"));
    assert_eq!(header(&headers, "impersonate-group").as_deref(), Some("dev"));
    assert_eq!(header(&headers, "impersonate-extra-chaperone.dev%2fmodel").as_deref(), Some("m-1"));
    assert_eq!(header(&headers, "impersonate-extra-chaperone.dev%2fsession").as_deref(), Some("token-1"));
}

#[test]
fn the_clusters_own_groups_are_refused() {
    let mut rig = Rig::new(json!({"credential": {"impersonate": true}}));
    let token = format!("Bearer {}", rig.token(&json!({"groups": ["dev", "system:masters"]})));
    let (_, begun) = rig.begin_bare("GET", POD, &[("authorization", &token)]);
    assert!(matches!(begun, Begun::Reply(reply) if reply.status == 403));
}
