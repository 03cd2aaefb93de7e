//! The built-in patterns: how each kind of credential begins, and when it is one.
//!
//! A rule is tried where its literal stands. It sees the bytes from there on and says at once whether that is a match,
//! or that it has to see more; what it says never depends on how many bytes are there beyond those it needs.

use super::class::{ALNUM, BASE64, BASE64URL, Class, DASHED, DOTTED, SEPARATORS, TOKEN68, UPPER, WORD};
use crate::mask::literals::Literals;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The names that `masking.patterns.enable` may list.
pub const NAMES: &[&str] = &[
    "pem-private-key",
    "jwt",
    "kubernetes-service-account-token",
    "aws-access-key",
    "aws-secret-key",
    "azure-storage-key",
    "google-api-key",
    "github-token",
    "gitlab-token",
    "slack-token",
    "stripe-key",
    "npm-token",
    "pypi-token",
    "docker-token",
    "digitalocean-token",
    "vault-token",
    "sendgrid-key",
    "hugging-face-token",
    "openai-key",
    "anthropic-key",
    "age-key",
    "connection-string-password",
    "bearer-token",
];

/// A rule and the pattern it counts for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// Index in [`NAMES`].
    pub(super) pattern: usize,
    shape: Shape,
}

/// What makes the bytes behind a literal a credential.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// At least that many of the class directly behind the literal; the literal is part of it.
    Prefixed(Class, usize),
    /// Exactly that many, and the literal begins a word.
    Exactly(Class, usize),
    /// At least that many behind the literal, a key, and the separators of the usual notations; the value alone is it.
    Keyed(Class, usize),
    /// As `Keyed`, but exactly that many.
    KeyedExactly(Class, usize),
    Jwt,
    Pem,
    Base64Pem,
    Bearer,
    Authorization,
    UserInfo,
}

/// What a rule says about the bytes from its literal on. Offsets count from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    No,
    /// That depends on bytes still to come; until then what stands from `secret` on must not be shown.
    More {
        secret: usize,
    },
    /// What stands in `from..to` is replaced, and what follows goes the way of `then`.
    Match {
        from: usize,
        to: usize,
        then: Then,
    },
}

/// What happens behind a match that has been decided before its end was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// It has ended.
    Scan,
    /// All of the class belongs to it.
    Run(Class),
    /// Parts of base64url belong to it, and single dots between them.
    Parts,
    /// All up to the closing line belongs to it, but for that many bytes at most.
    Pem(usize),
}

/// No private key in PEM is longer; RSA with 16384 bits takes 13 KiB. Where no closing line comes, text shows again.
const MAX_PEM: usize = 65_536;
/// A JWT's header is shorter.
const MAX_JWT_HEADER: usize = 2048;
/// What is no JSON between a JWT's dots, an encrypted key, is shorter.
const MAX_JWT_PART: usize = 4096;
/// User, password and host of a connection string are shorter, together.
const MAX_AUTHORITY: usize = 512;
/// As many separators may stand between key and value.
const MAX_SEPARATORS: usize = 16;

/// All rules: the pattern's name, the literal, whether in any case, the shape.
pub(super) const RULES: &[(&str, &str, bool, Shape)] = &[
    ("pem-private-key", "-----BEGIN ", false, Shape::Pem),
    // The same in base64, as in a kubeconfig's client-key-data.
    ("pem-private-key", "LS0tLS1CRUdJTiB", false, Shape::Base64Pem),
    ("jwt", "eyJ", false, Shape::Jwt),
    ("kubernetes-service-account-token", "eyJ", false, Shape::Jwt),
    ("aws-access-key", "AKIA", false, Shape::Exactly(UPPER, 16)),
    ("aws-access-key", "ASIA", false, Shape::Exactly(UPPER, 16)),
    ("aws-secret-key", "secret_access_key", true, Shape::KeyedExactly(BASE64, 40)),
    ("aws-secret-key", "secretaccesskey", true, Shape::KeyedExactly(BASE64, 40)),
    ("aws-secret-key", "secret-access-key", true, Shape::KeyedExactly(BASE64, 40)),
    ("aws-secret-key", "session_token", true, Shape::Keyed(BASE64, 100)),
    ("aws-secret-key", "sessiontoken", true, Shape::Keyed(BASE64, 100)),
    ("azure-storage-key", "accountkey=", true, Shape::Keyed(BASE64, 40)),
    ("azure-storage-key", "sharedaccesskey=", true, Shape::Keyed(BASE64, 40)),
    ("google-api-key", "AIza", false, Shape::Prefixed(BASE64URL, 35)),
    ("google-api-key", "ya29.", false, Shape::Prefixed(DOTTED, 20)),
    ("google-api-key", "GOCSPX-", false, Shape::Prefixed(BASE64URL, 20)),
    ("github-token", "ghp_", false, Shape::Prefixed(WORD, 36)),
    ("github-token", "gho_", false, Shape::Prefixed(WORD, 36)),
    ("github-token", "ghu_", false, Shape::Prefixed(WORD, 36)),
    ("github-token", "ghs_", false, Shape::Prefixed(WORD, 36)),
    ("github-token", "ghr_", false, Shape::Prefixed(WORD, 36)),
    ("github-token", "github_pat_", false, Shape::Prefixed(WORD, 22)),
    ("gitlab-token", "glpat-", false, Shape::Prefixed(DOTTED, 20)),
    ("gitlab-token", "gldt-", false, Shape::Prefixed(DOTTED, 20)),
    ("gitlab-token", "glrt-", false, Shape::Prefixed(DOTTED, 20)),
    ("gitlab-token", "glptt-", false, Shape::Prefixed(DOTTED, 20)),
    ("gitlab-token", "glcbt-", false, Shape::Prefixed(DOTTED, 20)),
    ("gitlab-token", "glsoat-", false, Shape::Prefixed(DOTTED, 20)),
    ("gitlab-token", "glagent-", false, Shape::Prefixed(DOTTED, 20)),
    ("slack-token", "xoxb-", false, Shape::Prefixed(DASHED, 10)),
    ("slack-token", "xoxp-", false, Shape::Prefixed(DASHED, 10)),
    ("slack-token", "xoxa-", false, Shape::Prefixed(DASHED, 10)),
    ("slack-token", "xoxr-", false, Shape::Prefixed(DASHED, 10)),
    ("slack-token", "xoxs-", false, Shape::Prefixed(DASHED, 10)),
    ("slack-token", "xoxe-", false, Shape::Prefixed(DASHED, 10)),
    ("slack-token", "xoxe.", false, Shape::Prefixed(DASHED, 10)),
    ("slack-token", "xapp-", false, Shape::Prefixed(DASHED, 10)),
    ("slack-token", "hooks.slack.com/services/", false, Shape::Prefixed(ALNUM.and(b"/"), 20)),
    ("stripe-key", "sk_live_", false, Shape::Prefixed(ALNUM, 16)),
    ("stripe-key", "sk_test_", false, Shape::Prefixed(ALNUM, 16)),
    ("stripe-key", "rk_live_", false, Shape::Prefixed(ALNUM, 16)),
    ("stripe-key", "rk_test_", false, Shape::Prefixed(ALNUM, 16)),
    ("stripe-key", "whsec_", false, Shape::Prefixed(BASE64, 16)),
    ("npm-token", "npm_", false, Shape::Prefixed(ALNUM, 36)),
    ("pypi-token", "pypi-AgE", false, Shape::Prefixed(BASE64URL, 40)),
    ("docker-token", "dckr_pat_", false, Shape::Prefixed(BASE64URL, 20)),
    ("digitalocean-token", "dop_v1_", false, Shape::Prefixed(ALNUM, 64)),
    ("vault-token", "hvs.", false, Shape::Prefixed(BASE64URL, 24)),
    ("vault-token", "hvb.", false, Shape::Prefixed(BASE64URL, 24)),
    ("sendgrid-key", "SG.", false, Shape::Prefixed(DOTTED, 60)),
    ("hugging-face-token", "hf_", false, Shape::Prefixed(ALNUM, 34)),
    ("openai-key", "sk-proj-", false, Shape::Prefixed(BASE64URL, 20)),
    ("openai-key", "sk-svcacct-", false, Shape::Prefixed(BASE64URL, 20)),
    ("anthropic-key", "sk-ant-", false, Shape::Prefixed(BASE64URL, 20)),
    ("age-key", "AGE-SECRET-KEY-1", false, Shape::Prefixed(UPPER, 40)),
    ("connection-string-password", "://", false, Shape::UserInfo),
    ("bearer-token", "bearer ", true, Shape::Bearer),
    ("bearer-token", "authorization", true, Shape::Authorization),
];

/// The literals of the patterns named in `enable`, and their rules in the same order.
pub(super) fn enabled(enable: &[String]) -> (Literals, Vec<Rule>) {
    let mut literals = Literals::new();
    let mut rules = Vec::new();
    for (name, literal, any_case, shape) in RULES {
        let Some(pattern) = NAMES.iter().position(|known| known == name) else { continue };
        if enable.iter().any(|enabled| enabled == name)
            && literals.add(literal.as_bytes(), *any_case).is_some()
        {
            rules.push(Rule { pattern, shape: *shape });
        }
    }
    (literals, rules)
}

/// The bytes at a literal, as far as they have come.
#[derive(Clone, Copy)]
pub(super) struct Here<'b> {
    /// From the literal's first byte on.
    pub(super) bytes: &'b [u8],
    /// The literal's length.
    pub(super) literal: usize,
    /// The two bytes before it; 0 where there is none.
    pub(super) before: [u8; 2],
    /// Whether no more bytes will come.
    pub(super) end: bool,
}

impl Here<'_> {
    fn from(&self, at: usize) -> &[u8] {
        self.bytes.get(at..).unwrap_or_default()
    }

    /// What to say where the bytes end before the rule is sure.
    fn short(&self, secret: usize) -> Seen {
        if self.end { Seen::No } else { Seen::More { secret } }
    }

    /// Whether a word begins here: also behind an escape such as `\n`.
    fn begins_word(&self) -> bool {
        let [earlier, last] = self.before;
        !WORD.has(last) || (earlier == b'\\' && matches!(last, b'n' | b'r' | b't' | b'f' | b'b'))
    }

    /// How many of `class` stand at `at`, up to `most`; `None` where the bytes end before that is known.
    fn run(&self, class: Class, at: usize, most: usize) -> Option<usize> {
        let bytes = self.from(at);
        let run = class.run(bytes, most);
        let known = run == most || run < bytes.len() || self.end;
        known.then_some(run)
    }
}

impl Rule {
    /// Says whether a credential stands here.
    pub(super) fn see(&self, here: &Here<'_>) -> Seen {
        match self.shape {
            Shape::Prefixed(class, least) => at_least(here, class, here.literal, least, 0),
            Shape::Exactly(..) if !here.begins_word() => Seen::No,
            Shape::Exactly(class, length) => exactly(here, class, here.literal, length, 0),
            Shape::Keyed(class, least) => keyed(here, |at| at_least(here, class, at, least, at)),
            Shape::KeyedExactly(class, length) => keyed(here, |at| exactly(here, class, at, length, at)),
            Shape::Jwt => jwt(here),
            Shape::Pem => pem(here),
            Shape::Base64Pem => base64_pem(here),
            Shape::Bearer => bearer(here, here.literal),
            Shape::Authorization => authorization(here),
            Shape::UserInfo => user_info(here),
        }
    }
}

fn at_least(here: &Here<'_>, class: Class, at: usize, least: usize, from: usize) -> Seen {
    match here.run(class, at, least) {
        None => here.short(at),
        Some(run) if run < least => Seen::No,
        Some(run) => Seen::Match { from, to: at.saturating_add(run), then: Then::Run(class) },
    }
}

fn exactly(here: &Here<'_>, class: Class, at: usize, length: usize, from: usize) -> Seen {
    match here.run(class, at, length.saturating_add(1)) {
        None => here.short(at),
        Some(run) if run != length => Seen::No,
        Some(run) => Seen::Match { from, to: at.saturating_add(run), then: Then::Scan },
    }
}

fn keyed(here: &Here<'_>, value: impl FnOnce(usize) -> Seen) -> Seen {
    match here.run(SEPARATORS, here.literal, MAX_SEPARATORS) {
        None => here.short(here.bytes.len()),
        Some(run) => value(here.literal.saturating_add(run)),
    }
}

/// `eyJ…`, a dot, then either `eyJ` again or a part and another dot.
fn jwt(here: &Here<'_>) -> Seen {
    let secret = here.literal;
    let Some(header) = here.run(BASE64URL, 0, MAX_JWT_HEADER) else { return here.short(secret) };
    match here.bytes.get(header) {
        None => return here.short(secret),
        Some(b'.') if header >= 10 => {}
        Some(_) => return Seen::No,
    }
    let second = header.saturating_add(1);
    let begins = here.from(second);
    if begins.starts_with(b"eyJ") {
        return Seen::Match { from: 0, to: second, then: Then::Parts };
    }
    if b"eyJ".starts_with(begins) {
        return here.short(secret);
    }
    let Some(part) = here.run(BASE64URL, second, MAX_JWT_PART) else { return here.short(secret) };
    let dot = second.saturating_add(part);
    match here.bytes.get(dot) {
        None => here.short(secret),
        Some(b'.') if part >= 10 => Seen::Match { from: 0, to: dot, then: Then::Parts },
        Some(_) => Seen::No,
    }
}

/// `-----BEGIN … PRIVATE KEY-----`, also `… PRIVATE KEY BLOCK-----`.
fn pem(here: &Here<'_>) -> Seen {
    const LABEL: Class = UPPER.and(b" ");
    let Some(label) = here.run(LABEL, here.literal, 40) else { return here.short(here.bytes.len()) };
    let end = here.literal.saturating_add(label);
    let text = here.bytes.get(here.literal..end).unwrap_or_default();
    if !contains(text, b"PRIVATE KEY") {
        return Seen::No;
    }
    let dashes = here.from(end);
    if dashes.starts_with(b"-----") {
        return Seen::Match { from: 0, to: end.saturating_add(5), then: Then::Pem(MAX_PEM) };
    }
    if b"-----".starts_with(dashes) { here.short(here.bytes.len()) } else { Seen::No }
}

/// The same, base64-encoded.
fn base64_pem(here: &Here<'_>) -> Seen {
    let Some(run) = here.run(BASE64, 0, 64) else { return here.short(here.literal) };
    let whole = run.checked_sub(run % 4).unwrap_or(run);
    let decoded = STANDARD.decode(here.bytes.get(..whole).unwrap_or_default()).unwrap_or_default();
    if contains(&decoded, b"PRIVATE KEY") {
        Seen::Match { from: 0, to: run, then: Then::Run(BASE64) }
    } else {
        Seen::No
    }
}

/// Something long, or not short with a digit in it: prose goes on with words.
fn bearer(here: &Here<'_>, at: usize) -> Seen {
    let Some(run) = here.run(TOKEN68, at, 40) else { return here.short(at) };
    let to = at.saturating_add(run);
    let digit = here.bytes.get(at..to).unwrap_or_default().iter().any(u8::is_ascii_digit);
    if run == 40 || (run >= 16 && digit) {
        Seen::Match { from: at, to, then: Then::Run(TOKEN68) }
    } else {
        Seen::No
    }
}

/// A header line: whatever its scheme's credentials are.
fn authorization(here: &Here<'_>) -> Seen {
    let all = here.bytes.len();
    let Some(before) = here.run(SEPARATORS, here.literal, MAX_SEPARATORS) else { return here.short(all) };
    let scheme_at = here.literal.saturating_add(before);
    let between = here.bytes.get(here.literal..scheme_at).unwrap_or_default();
    if !between.iter().any(|byte| matches!(byte, b':' | b'=')) {
        return Seen::No;
    }
    let Some(scheme) = here.run(ALNUM, scheme_at, 12) else { return here.short(scheme_at) };
    let space_at = scheme_at.saturating_add(scheme);
    let name = here.bytes.get(scheme_at..space_at).unwrap_or_default();
    if ![&b"bearer"[..], b"basic", b"token"].iter().any(|known| name.eq_ignore_ascii_case(known)) {
        return Seen::No;
    }
    let Some(space) = here.run(Class::of(b" "), space_at, 4) else { return here.short(all) };
    let at = space_at.saturating_add(space);
    match here.run(TOKEN68, at, 1) {
        None => here.short(at),
        Some(run) if run == 0 || space == 0 => Seen::No,
        Some(run) => Seen::Match { from: at, to: at.saturating_add(run), then: Then::Run(TOKEN68) },
    }
}

/// `scheme://user:password@host`: the password alone.
fn user_info(here: &Here<'_>) -> Seen {
    let [_, before] = here.before;
    if !ALNUM.has(before) {
        return Seen::No;
    }
    let most = MAX_AUTHORITY.saturating_add(here.literal);
    let bytes = here.bytes.get(..most).unwrap_or(here.bytes);
    let hard =
        |byte: &u8| byte.is_ascii_whitespace() || byte.is_ascii_control() || b"\"'`<>\\".contains(byte);
    let authority = bytes.get(here.literal..).unwrap_or_default();
    let colon = authority.iter().position(|byte| *byte == b':');
    // Only what stands behind the first colon could be a password.
    let secret = colon.map_or(bytes.len(), |colon| here.literal.saturating_add(colon).saturating_add(1));
    let reach = authority.iter().position(hard);
    if reach.is_none() && bytes.len() < most && !here.end {
        return Seen::More { secret };
    }
    let authority = authority.get(..reach.unwrap_or(authority.len())).unwrap_or_default();
    let Some(colon) = colon.filter(|colon| *colon < authority.len()) else { return Seen::No };
    let behind = authority.get(colon.saturating_add(1)..).unwrap_or_default();
    let slash = behind.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(behind.len());
    let (strict, rest) = behind.split_at_checked(slash).unwrap_or((behind, &[]));
    let at_sign = strict.iter().rposition(|byte| *byte == b'@').or_else(|| {
        // A password that should have been escaped; but not the path behind a host and its port.
        let port = strict.len() <= 5 && strict.iter().all(u8::is_ascii_digit);
        let user = authority.get(..colon).unwrap_or_default();
        let host = port || user.iter().any(|byte| b"/?#@[".contains(byte));
        let found = rest.iter().position(|byte| *byte == b'@').filter(|_| !host)?;
        Some(slash.saturating_add(found))
    });
    match at_sign {
        Some(length)
            if length > 0
                && !authority.get(..colon).unwrap_or_default().iter().any(|byte| b"/?#@".contains(byte)) =>
        {
            Seen::Match { from: secret, to: secret.saturating_add(length), then: Then::Scan }
        }
        _ => Seen::No,
    }
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}
