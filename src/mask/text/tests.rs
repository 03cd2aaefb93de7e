#![allow(clippy::arithmetic_side_effects, clippy::type_complexity)]

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[cfg(not(target_arch = "wasm32"))]
mod properties;

use super::*;

const MASK: &str = "[masked by chaperone]";

fn all() -> Vec<String> {
    NAMES.iter().map(|name| (*name).to_owned()).collect()
}

fn custom(name: &str, regex: &str) -> CustomPattern {
    CustomPattern { name: name.to_owned(), regex: regex.to_owned() }
}

fn patterns(own: &[CustomPattern]) -> Rc<TextPatterns> {
    Rc::new(TextPatterns::new(&all(), own, &Replacement::default()).unwrap())
}

/// A stream cut into chunks of `size`.
fn stream(patterns: &Rc<TextPatterns>, bytes: &[u8], size: usize) -> (Vec<u8>, Vec<(String, u64)>) {
    let mut masker = TextMasker::new(Rc::clone(patterns));
    let mut out = Vec::new();
    for chunk in bytes.chunks(size.max(1)) {
        masker.push(chunk, &mut out);
    }
    masker.finish(&mut out);
    assert_eq!(masker.held(), 0);
    (out, masker.counts())
}

/// Made-up credentials, put together here so that no scanner takes this file for a leak.
fn token(prefix: &str, length: usize) -> String {
    prefix.chars().chain("A1b2C3d4E5f6G7h8J9k0".chars().cycle().take(length)).collect()
}

fn upper(prefix: &str, length: usize) -> String {
    token(prefix, length).to_uppercase()
}

fn jwt() -> String {
    format!("{}.{}.{}", token("eyJ", 30), token("eyJ", 120), token("", 86))
}

#[test]
fn replaces_each_kind() {
    let dash = "-".repeat(5);
    let pem = |kind: &str| format!("{dash}BEGIN {kind}{dash}\nMIIEvQ\nabc=\n{dash}END {kind}{dash}");
    let base64_pem =
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pem("RSA PRIVATE KEY"));
    let service_account = jwt();
    let cases: Vec<(&str, String)> = vec![
        ("pem-private-key", pem("PRIVATE KEY")),
        ("pem-private-key", pem("OPENSSH PRIVATE KEY")),
        ("pem-private-key", pem("PGP PRIVATE KEY BLOCK")),
        ("pem-private-key", pem("EC PRIVATE KEY").replace('\n', "\\n")),
        ("pem-private-key", base64_pem),
        ("jwt", service_account),
        (
            "jwt",
            format!("{}..{}.{}.{}", token("eyJ", 30), token("", 16), token("", 40), token("", 22))
                .replace("..", &format!(".{}.", token("", 30))),
        ),
        ("aws-access-key", upper("AKIA", 16)),
        ("aws-access-key", upper("ASIA", 16)),
        ("google-api-key", token("AIza", 35)),
        ("google-api-key", token("ya29.", 60)),
        ("github-token", token("ghp_", 36)),
        ("github-token", token("ghs_", 36)),
        ("github-token", token("github_pat_", 82)),
        ("gitlab-token", token("glpat-", 20)),
        ("slack-token", token("xoxb-", 50)),
        ("slack-token", format!("hooks.slack.com/services/{}/{}", upper("T", 9), token("B", 24))),
        ("stripe-key", token("sk_live_", 24)),
        ("npm-token", token("npm_", 36)),
        ("pypi-token", token("pypi-AgE", 100)),
        ("docker-token", token("dckr_pat_", 27)),
        ("digitalocean-token", token("dop_v1_", 64)),
        ("vault-token", token("hvs.", 90)),
        ("sendgrid-key", format!("{}.{}", token("SG.", 22), token("", 43))),
        ("hugging-face-token", token("hf_", 34)),
        ("openai-key", token("sk-proj-", 48)),
        ("anthropic-key", token("sk-ant-", 90)),
        ("age-key", upper("AGE-SECRET-KEY-1", 58)),
    ];
    let patterns = patterns(&[]);
    for (name, secret) in &cases {
        for (before, after) in
            [("", ""), ("key=", " done\n"), ("{\"a\":\"", "\"}"), ("line\\n", "\\nnext"), ("(", ").")]
        {
            let masked =
                patterns.mask(&format!("{before}{secret}{after}")).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(masked.text, format!("{before}{MASK}{after}"), "{name}");
            assert_eq!(masked.counts, [((*name).to_owned(), 1)]);
        }
    }
}

#[test]
fn replaces_the_value_behind_a_key_alone() {
    let secret = token("", 40);
    let session = token("", 300);
    let long = token("", 86);
    let cases = [
        ("aws-secret-key", "aws_secret_access_key = ", &secret[..], "\n"),
        ("aws-secret-key", "AWS_SECRET_ACCESS_KEY=", &secret, ""),
        ("aws-secret-key", "\"SecretAccessKey\": \"", &secret, "\", \"x\""),
        ("aws-secret-key", "{\\\"SecretAccessKey\\\":\\\"", &secret, "\\\"}"),
        ("aws-secret-key", "\"SessionToken\": \"", &session, "\""),
        ("azure-storage-key", "AccountName=x;AccountKey=", &long, ";EndpointSuffix=y"),
        ("connection-string-password", "postgres://app:", "hunter2", "@db:5432/app?sslmode=off"),
        ("connection-string-password", "DSN=\"mysql://root:", "p%40ss", "@[::1]:3306/x\""),
        ("connection-string-password", "redis://:", "x", "@cache:6379 ready"),
        ("connection-string-password", "amqp://u:", "p@ss", "@mq/vhost,next"),
        ("connection-string-password", "postgres://u:", "p/a?s#s", "@db/app"),
        ("connection-string-password", "https://oauth2:", "whatever", "@gitlab.com/x.git"),
        ("bearer-token", "> Authorization: Bearer ", "short", "\r\n> Accept: */*"),
        ("bearer-token", "authorization: basic ", "dXNlcjpwYXNz", "\n"),
        ("bearer-token", "\"Authorization\":\"Bearer ", "opaque-token~1", "\""),
        ("bearer-token", "sent bearer ", "0123456789abcdef", " twice"),
    ];
    let patterns = patterns(&[]);
    for (name, before, secret, after) in cases {
        let text = format!("{before}{secret}{after}");
        let masked = patterns.mask(&text).unwrap_or_else(|| panic!("{name}: {before}"));
        assert_eq!(masked.text, format!("{before}{MASK}{after}"), "{name}");
        assert_eq!(masked.counts, [(name.to_owned(), 1)], "{before}");
    }
}

#[test]
fn leaves_what_is_none() {
    let dash = "-".repeat(5);
    let cases = [
        "".to_owned(),
        "Bearer authentication is required; the bearer of good news".to_owned(),
        "http://example.com:8080/path?mail=someone@example.com".to_owned(),
        "see https://example.com/a:b@c and http://[::1]:80/x@y".to_owned(),
        "postgres://user@host:5432/db?x=a@b".to_owned(),
        "mailto://x".to_owned(),
        "authorization token required".to_owned(),
        format!("{dash}BEGIN CERTIFICATE{dash}\nMIIB\n{dash}END CERTIFICATE{dash}"),
        format!("{dash}BEGIN PUBLIC KEY{dash}"),
        "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUI=".to_owned(),
        "eyJust a word. eyJ.eyJ.x eyJhbGciOiJIUzI1NiJ9 alone".to_owned(),
        upper("AKIA", 15),
        upper("AKIA", 17),
        upper("XAKIA", 16),
        token("ghp_", 20),
        "secret_access_key: see the vault".to_owned(),
        "secret_access_key".to_owned(),
        "npm_config_registry=https://registry.npmjs.org/ hf_hub :// A AKI ey".to_owned(),
    ];
    let patterns = patterns(&[]);
    for text in cases {
        assert_eq!(patterns.mask(&text), None, "{text}");
        assert_eq!(stream(&patterns, text.as_bytes(), 1).0, text.as_bytes(), "{text}");
    }
}

#[test]
fn many_in_one_text() {
    let (github, aws) = (token("ghp_", 40), upper("AKIA", 16));
    let text = format!("{github} {github},{aws}; https://{github}:x-oauth-basic@github.com {}", jwt());
    let masked = patterns(&[]).mask(&text).unwrap();
    assert_eq!(masked.text, format!("{MASK} {MASK},{MASK}; https://{MASK}:{MASK}@github.com {MASK}"));
    let counts = [("jwt", 1), ("aws-access-key", 1), ("github-token", 3), ("connection-string-password", 1)];
    assert_eq!(masked.counts, counts.map(|(name, count)| (name.to_owned(), count)));
}

#[test]
fn only_what_is_enabled() {
    let only = TextPatterns::new(&["github-token".to_owned()], &[], &Replacement::default()).unwrap();
    let text = format!("{} {}", upper("AKIA", 16), token("ghp_", 40));
    assert_eq!(only.mask(&text).unwrap().text, format!("{} {MASK}", upper("AKIA", 16)));
    let none = TextPatterns::new(&[], &[], &Replacement::default()).unwrap();
    assert!(none.is_empty());
    assert_eq!(none.mask(&text), None);
    let account =
        TextPatterns::new(&["kubernetes-service-account-token".to_owned()], &[], &Replacement::default());
    assert_eq!(
        account.unwrap().mask(&jwt()).unwrap().counts,
        [("kubernetes-service-account-token".to_owned(), 1)]
    );
}

#[test]
fn a_stream_in_any_chunk_size() {
    let dash = "-".repeat(5);
    let text = format!(
        "start {} \u{e9} {dash}BEGIN PRIVATE KEY{dash}\n{}\n{dash}END PRIVATE KEY{dash} {}. postgres://u:pw@h bearer {} end",
        token("ghp_", 40),
        token("", 900),
        jwt(),
        token("", 60)
    );
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(b"\xff\xfe not UTF-8 id=1234 id=77\nid=9");
    let patterns = patterns(&[custom("id", "id=[0-9]+")]);
    let expected = format!(
        "start {MASK} \u{e9} {MASK} {MASK}. postgres://u:{MASK}@h bearer {MASK} end\0 not UTF-8 {MASK} {MASK}\n{MASK}"
    );
    let expected = expected.replace('\0', "\u{1}").into_bytes();
    let expected: Vec<u8> =
        expected.into_iter().flat_map(|byte| if byte == 1 { vec![0xff, 0xfe] } else { vec![byte] }).collect();
    for size in 1..bytes.len() {
        let (out, counts) = stream(&patterns, &bytes, size);
        assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(&expected), "{size}");
        assert_eq!(out, expected);
        assert_eq!(counts.iter().map(|(_, count)| count).sum::<u64>(), 8);
    }
}

#[test]
fn what_is_held_back_is_bounded() {
    let patterns = patterns(&[]);
    let hostile = [
        "eyJ".to_owned() + &"a".repeat(100_000),
        format!("{}.{}", token("eyJ", 30), "a".repeat(100_000)),
        "http://u:".to_owned() + &"p".repeat(100_000),
        "secretaccesskey".to_owned() + &" ".repeat(100_000),
        "-----BEGIN ".to_owned() + &"A ".repeat(50_000),
        "://".repeat(30_000),
        "eyJ".repeat(30_000),
        "bearer ".repeat(10_000),
    ];
    for text in hostile {
        let mut masker = TextMasker::new(Rc::clone(&patterns));
        let mut out = Vec::new();
        for chunk in text.as_bytes().chunks(1000) {
            masker.push(chunk, &mut out);
            assert!(masker.held() <= 6500, "{} {}", masker.held(), &text[..20]);
        }
        masker.finish(&mut out);
        assert_eq!(out, text.as_bytes());
    }
}

#[test]
fn a_key_without_an_end() {
    let dash = "-".repeat(5);
    let begin = format!("{dash}BEGIN PRIVATE KEY{dash}");
    let patterns = patterns(&[]);
    let cut_off = format!("a {begin}\n{}", token("", 3000));
    assert_eq!(patterns.mask(&cut_off).unwrap().text, format!("a {MASK}"));
    let endless = format!("a {begin}{}shown again", "x".repeat(65_536));
    for size in [1, 7, 1000, 100_000] {
        assert_eq!(stream(&patterns, endless.as_bytes(), size).0, format!("a {MASK}shown again").as_bytes());
    }
}

#[test]
fn a_flush_shows_no_secret_within_what_may_become_another() {
    let (user, key) = (token("ghp_", 40), upper("AKIA", 16));
    let dash = "-".repeat(5);
    for (name, text, expected) in [
        ("a token as a URL's user", format!("https://{user}@h\n"), format!("https://ghp_{MASK}@h\n")),
        ("a key as a URL's host", format!("s3://{key}\n"), format!("s3://AKIA{MASK}\n")),
        ("a key as a label", format!("{dash}BEGIN {key}\n"), format!("{dash}BEGIN AKIA{MASK}\n")),
        (
            "one behind the other",
            format!("https://{user}:{key}@h\n"),
            format!("https://ghp_{MASK}:{MASK}@h\n"),
        ),
    ] {
        for size in [1, 2, 7, 20, 1000] {
            let mut masker = TextMasker::new(patterns(&[]));
            let mut out = Vec::new();
            for chunk in text.as_bytes().chunks(size) {
                masker.push(chunk, &mut out);
                masker.flush(&mut out);
            }
            masker.finish(&mut out);
            let out = String::from_utf8(out).unwrap();
            assert!(!out.contains("1b2C") && !out.contains("A1B2"), "{name} {size}: {out}");
            if size == 1 {
                assert_eq!(out, expected, "{name}");
            }
        }
    }
}

#[test]
fn a_flush_shows_no_secret() {
    let patterns = patterns(&[custom("id", "id=[0-9]{4,}")]);
    let text = format!("$ {} https://u:pw@h {} ok id=1234 id=56789\n", token("ghp_", 40), jwt());
    let mut masker = TextMasker::new(Rc::clone(&patterns));
    let mut out = Vec::new();
    for byte in text.as_bytes() {
        masker.push(&[*byte], &mut out);
        masker.flush(&mut out);
    }
    masker.finish(&mut out);
    let out = String::from_utf8(out).unwrap();
    assert_eq!(out, format!("$ ghp_{MASK} https://u:{MASK}@h eyJ{MASK} ok id=123{MASK} id=567{MASK}\n"));

    let mut masker = TextMasker::new(patterns);
    let mut out = Vec::new();
    masker.push(b"password for postgres", &mut out);
    masker.flush(&mut out);
    assert_eq!(out, b"password for postgres");
    masker.push(b"://app:hun", &mut out);
    masker.flush(&mut out);
    assert_eq!(out, b"password for postgres://app:");
    masker.push(b"ter2@db", &mut out);
    masker.finish(&mut out);
    assert_eq!(out, format!("password for postgres://app:{MASK}@db").as_bytes());
}

#[test]
fn custom_patterns() {
    let own =
        [custom("employee", r"EMP-\d{4}"), custom("any-case", "(?i)hush"), custom("either", "foo1|bar2")];
    let patterns = patterns(&own);
    let cases = [
        ("id EMP-1234, EMP-12", format!("id {MASK}, EMP-12"), "employee"),
        ("Hush now", format!("{MASK} now"), "any-case"),
        ("x bar2", format!("x {MASK}"), "either"),
        ("EMP-1234hush", format!("{MASK}{MASK}"), "employee"),
    ];
    for (text, expected, name) in cases {
        let masked = patterns.mask(text).unwrap();
        assert_eq!(masked.text, expected);
        assert_eq!(masked.counts[0].0, name);
        assert_eq!(stream(&patterns, text.as_bytes(), 1).0, expected.as_bytes());
    }
    assert_eq!(patterns.mask("EMP-\n1234"), None, "line by line");
    // A match across the windows of a line that is longer than one.
    for before in [0, 4000, 4090, 4096, 8185, 8190, 12_285, 20_000] {
        let text = format!("{}EMP-1234{}", "é".repeat(before / 2), "y".repeat(9000));
        let expected = text.replace("EMP-1234", MASK);
        for size in [1, 4096, 100_000] {
            assert_eq!(stream(&patterns, text.as_bytes(), size).0, expected.as_bytes(), "{before}");
        }
    }
}

#[test]
fn overlapping_custom_matches_become_one() {
    let patterns = patterns(&[custom("first", "aaab+"), custom("second", "bbbc+")]);
    assert_eq!(patterns.mask("xaaabbbccx").unwrap().text, format!("x{MASK}x"));
}

#[test]
fn bad_patterns_are_errors() {
    let errors = |enable: &[&str], own: &[CustomPattern]| {
        let enable: Vec<_> = enable.iter().map(|name| (*name).to_owned()).collect();
        TextPatterns::new(&enable, own, &Replacement::default()).err().unwrap_or_default()
    };
    assert_eq!(errors(&["jwt", "jwts"], &[]), [PatternError::Unknown("jwts".to_owned())]);
    let own = [
        custom("", "a+"),
        custom("jwt", "a+"),
        custom("twice", "a+"),
        custom("twice", "a+"),
        custom("long", &"a".repeat(513)),
        custom("empty", "a*"),
        custom("ok", "a+"),
    ];
    use PatternError as E;
    assert_eq!(errors(&[], &own), [E::Name(0), E::Name(1), E::Name(3), E::TooLong(4), E::MatchesEmpty(5)]);
    assert!(matches!(errors(&[], &[custom("open", "a(")])[..], [E::Regex(0, _)]));
    assert!(matches!(errors(&[], &[custom("huge", "((\\w{100}){100}){100}")])[..], [E::Regex(0, _)]));
    let many: Vec<_> = (0..33).map(|number| custom(&format!("p{number}"), "aaa")).collect();
    assert_eq!(errors(&[], &many), [E::TooMany]);
}

#[test]
fn required_literals() {
    let cases = [
        ("token=[a-z]+", Some("token=")),
        (r"EMP-\d{4}-END!", Some("-END!")),
        ("abc?def", Some("def")),
        ("ab|cd", None),
        ("(abc|def)ghi", Some("ghi")),
        ("(?i)abc", None),
        ("(?:abc)def", None),
        ("[abc]xyz", Some("xyz")),
        ("[^]x]yz", None),
        ("[[:alpha:]]xyz", None),
        (r"a\.b\.c", Some("a.b.c")),
        ("x+", None),
        ("abcx+yz", Some("abcx")),
        ("abcd{0}", Some("abc")),
        (r"\x41bcd", None),
        (r"\bword\b", None),
        ("é.", None),
    ];
    for (regex, literal) in cases {
        assert_eq!(custom::required_literal(regex), literal.map(|text| text.as_bytes().to_vec()), "{regex}");
    }
}

#[test]
fn every_name_has_a_rule_and_no_literal_begins_another() {
    for name in NAMES {
        let (_, rules) = builtin::enabled(&[(*name).to_owned()]);
        assert!(!rules.is_empty(), "{name}");
    }
    let (_, rules) = builtin::enabled(&all());
    assert_eq!(rules.len(), builtin::RULES.len(), "as many fit the set");
}
