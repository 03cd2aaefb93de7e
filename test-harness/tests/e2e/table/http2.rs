//! The same over HTTP/2, where there is no text to split but names and values can still lie.

use super::{Expect, Table};
use anyhow::{Result, ensure};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::HeaderValue;
use hyper::http::request::Builder;
use hyper::{Request, Version};

/// What makes a request odd.
type Change<'a> = &'a dyn Fn(Builder) -> Builder;

const ORDERS: &str = "/api/v1/namespaces/orders";

pub(super) async fn checks(table: &mut Table<'_>) -> Result<()> {
    let ambiguous = || Expect::Refused(400, "request", "ambiguous");
    let none = |builder: Builder| builder;
    let twice = |builder: Builder| builder.header("authorization", "Bearer x");
    let binary = |builder: Builder| {
        builder.header("x-odd", HeaderValue::from_bytes(b"caf\xe9 \xff").expect("a value"))
    };
    let impersonate = |builder: Builder| {
        builder.header("impersonate-user", "system:admin").header("x-remote-user", "admin")
    };
    let content_type = |builder: Builder| builder.header("content-type", "a/b").header("content-type", "c/d");
    let cookies = |builder: Builder| builder.header("cookie", "a=1").header("cookie", "b=2");
    let pods = format!("{ORDERS}/pods");
    let rows: Vec<(&str, &str, String, Change, Expect)> = vec![
        ("a good request", "GET", pods.clone(), &none, Expect::Arrives(pods.clone())),
        (
            "two credentials",
            "GET",
            pods.clone(),
            &twice,
            Expect::Refused(401, "authentication", "tokenMultiple"),
        ),
        ("not UTF-8", "GET", pods.clone(), &binary, Expect::Arrives(pods.clone())),
        ("impersonation", "GET", pods.clone(), &impersonate, Expect::Arrives(pods.clone())),
        ("cookies", "GET", pods.clone(), &cookies, Expect::Arrives(pods.clone())),
        ("content-type twice", "GET", pods.clone(), &content_type, ambiguous()),
        ("an encoded slash", "GET", format!("{ORDERS}%2Fsecrets"), &none, ambiguous()),
        ("an empty segment", "GET", "/api/v1/namespaces//secrets".to_owned(), &none, ambiguous()),
        ("dots", "GET", format!("{ORDERS}/pods/../secrets"), &none, ambiguous()),
        ("two watches", "GET", format!("{pods}?watch=1&watch=0"), &none, ambiguous()),
        ("TRACE", "TRACE", pods.clone(), &none, Expect::Refused(405, "request", "method")),
        (
            "a token request",
            "POST",
            format!("{ORDERS}/serviceaccounts/default/token"),
            &none,
            Expect::Refused(403, "guard:token-request", "guard"),
        ),
    ];
    for (name, method, target, change, expect) in rows {
        let name = format!("HTTP/2: {name}");
        table.sent += 1;
        let agent = format!("hostile/{}", table.sent);
        let what =
            if matches!(expect, Expect::Arrives(_)) { "goes upstream, clean" } else { "refused over HTTP/2" };
        *table.told.entry(what.to_owned()).or_default() += 1;
        let request = Request::builder()
            .version(Version::HTTP_2)
            .method(method)
            .uri(format!("https://gateway{target}"))
            .header("authorization", format!("Bearer {}", table.token))
            .header("user-agent", &agent);
        let request = change(request).body(Full::<Bytes>::default())?;
        table.arrived();
        let answer = table.client.send_http2(request).await?;
        let arrived = table.arrived();
        let seen: Vec<_> = arrived.iter().collect();
        let plain = super::pods();
        if let Err(error) = table.judge(&name, &plain, &expect, &agent, Some(answer), &seen) {
            table.wrong.push(format!("{name}: {error:#}"));
        }
    }
    let good = table.client.with_token(&table.token).get("/version").await?;
    ensure!(good.status == 200, "the filter is gone");
    Ok(())
}
