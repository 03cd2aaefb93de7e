#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::config::hex;
use crate::record::{Opening, SigningKey};
use chaperone_record::{Batch as WireBatch, FIRST_PREVIOUS};

fn at(millis: u64) -> Timestamp {
    Timestamp::from_micros(1_795_422_441_000_000 + millis * 1000)
}

fn outbox(limits: Limits) -> Outbox {
    let key = SigningKey::parse(b"MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g").unwrap();
    let opening = Opening { config_digest: "00".into(), node: "n".into(), worker: "w".into() };
    Outbox::new(Chain::new("r".into(), key, opening), limits, Duration::from_secs(2))
}

fn entry(name: &str) -> Vec<u8> {
    format!(
        r#"{{"type":"end","exchange":"{name}","responseStatus":{{"code":200}},"outcome":"complete","timing":{{}}}}"#
    )
    .into_bytes()
}

fn read(post: &Post) -> WireBatch {
    serde_json::from_slice(&post.body).unwrap()
}

fn names(post: &Post) -> Vec<String> {
    read(post).entries.iter().map(|entry| entry.exchange().unwrap_or("-").to_owned()).collect()
}

#[test]
fn entries_wait_for_the_flush_interval_and_open_comes_first() {
    let mut outbox = outbox(Limits::default());
    outbox.push(at(0), &entry("a")).unwrap();
    outbox.push(at(10), &entry("b")).unwrap();
    assert!(outbox.poll(at(199)).is_empty());
    let posts = outbox.poll(at(200));
    assert_eq!(posts.len(), 1);
    assert_eq!(names(&posts[0]), ["-", "a", "b"]);
    assert!(matches!(read(&posts[0]).entries[0], Entry::Open(_)));
    assert!(outbox.poll(at(1000)).is_empty(), "in flight");
    outbox.acknowledged(0);
    assert_eq!((outbox.bytes(), outbox.unacknowledged()), (0, 0));
}

#[test]
fn batches_are_chained_by_digest_whoever_posts_them() {
    let mut outbox = outbox(Limits::default());
    outbox.push(at(0), &entry("a")).unwrap();
    let confirmed = outbox.seal(at(0), 0).pop().unwrap();
    outbox.push(at(1), &entry("b")).unwrap();
    let ticked = outbox.poll(at(300)).pop().unwrap();
    assert_eq!(read(&confirmed).previous, FIRST_PREVIOUS);
    assert_eq!(read(&ticked).previous, hex(&hmac_sha256::Hash::hash(&confirmed.body)));
    assert_eq!((read(&confirmed).batch, read(&ticked).batch), (0, 1));
}

#[test]
fn a_full_batch_is_sealed_before_the_interval() {
    let mut outbox = outbox(Limits { batch_bytes: 1024, ..Limits::default() });
    for name in 0..30 {
        outbox.push(at(0), &entry(&name.to_string())).unwrap();
    }
    let posts = outbox.poll(at(1));
    assert!(posts.len() >= 2, "{}", posts.len());
    assert!(posts.iter().all(|post| post.body.len() < 1400));
}

#[test]
fn failed_posts_come_again_with_growing_pauses_and_the_same_bytes() {
    let mut outbox = outbox(Limits::default());
    outbox.push(at(0), &entry("a")).unwrap();
    let first = outbox.poll(at(200)).pop().unwrap();
    let mut now = 200;
    let mut pauses = Vec::new();
    for _ in 0..8 {
        outbox.failed(at(now), 0, 0);
        let pause = (1..20_000).find(|pause| !outbox.poll(at(now + pause)).is_empty()).unwrap();
        now += pause;
        pauses.push(pause);
    }
    assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    outbox.failed(at(now), 0, u64::MAX);
    let again = outbox.poll(at(now + 10_000)).pop().unwrap();
    assert_eq!((again.body, again.signature), (first.body, first.signature));
}

#[test]
fn an_answer_that_never_comes_counts_as_lost() {
    let mut outbox = outbox(Limits::default());
    outbox.push(at(0), &entry("a")).unwrap();
    outbox.seal(at(0), 0).pop().unwrap();
    assert!(outbox.poll(at(2999)).is_empty());
    assert_eq!(outbox.poll(at(3000)).len(), 1);
}

#[test]
fn what_does_not_fit_is_counted_in_a_gap() {
    let mut outbox = outbox(Limits { batch_bytes: 1024, outbox_bytes: 3000, ..Limits::default() });
    let mut taken = 0;
    while outbox.push(at(0), &entry("x")).is_ok() {
        taken += 1;
    }
    assert_eq!(outbox.push(at(0), &entry("y")), Err(Full));
    assert!(!outbox.has_room() && outbox.bytes() <= 3000 && taken > 10);
    let numbers: Vec<u64> = outbox.poll(at(500)).iter().map(|post| post.batch).collect();
    numbers.into_iter().for_each(|number| assert!(outbox.acknowledged(number).is_some()));
    assert!(outbox.has_room());
    outbox.push(at(501), &entry("z")).unwrap();
    let post = outbox.poll(at(800)).pop().unwrap();
    let Entry::Gap(gap) = &read(&post).entries[0] else { panic!("no gap") };
    assert_eq!((gap.entries, gap.reason.as_str()), (2, "outboxFull"));
}

#[test]
fn only_so_many_posts_are_under_way_at_once() {
    let mut outbox = outbox(Limits { batch_bytes: 1024, ..Limits::default() });
    for _ in 0..200 {
        outbox.push(at(0), &entry("x")).unwrap();
    }
    assert_eq!(outbox.poll(at(1)).len(), MOST_IN_FLIGHT);
    assert_eq!(outbox.poll(at(2)).len(), 0);
    outbox.acknowledged(0);
    assert_eq!(outbox.poll(at(3)).len(), 1);
}

#[test]
fn what_waits_is_posted_however_much_streams_have_under_way() {
    let mut outbox = outbox(Limits { batch_bytes: 1024, ..Limits::default() });
    outbox.push(at(0), &entry("failed")).unwrap();
    outbox.poll(at(200));
    outbox.failed(at(200), 0, 0);
    for stream in 0..200 {
        let own = outbox.next_batch();
        outbox.push(at(210), &entry(&stream.to_string())).unwrap();
        assert_eq!(outbox.seal(at(210), own).len(), 1);
    }
    let numbers: Vec<u64> = outbox.poll(at(300)).iter().map(|post| post.batch).collect();
    assert_eq!(numbers, [0], "what failed");
    for _ in 0..200 {
        outbox.push(at(300), &entry("buffered")).unwrap();
    }
    assert_eq!(outbox.poll(at(301)).len(), MOST_IN_FLIGHT - 1, "its own bound holds");
}

#[test]
fn a_clock_that_goes_back_holds_nothing_up() {
    const DAY: u64 = 86_400_000;
    let mut outbox = outbox(Limits::default());
    outbox.push(at(DAY), &entry("a")).unwrap();
    let posted = outbox.poll(at(DAY + 200)).len();
    outbox.push(at(DAY + 200), &entry("b")).unwrap();
    outbox.poll(at(DAY + 400));
    outbox.failed(at(DAY + 400), 1, 0);
    outbox.push(at(DAY + 400), &entry("c")).unwrap();
    assert_eq!(posted, 1);
    let again: Vec<u64> = outbox.poll(at(0)).iter().map(|post| post.batch).collect();
    assert_eq!(again, [0, 1, 2], "in flight, due and pending");
}
