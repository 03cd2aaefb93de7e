//! Cookies: never for a script, never from another site but by a link. Over TLS their names begin with `__Host-`: no
//! other host can plant one.

use axum::http::{HeaderMap, HeaderValue, header};
use std::time::Duration;

/// What a cookie is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cookie {
    /// Names a session of somebody who is logged in.
    Session,
    /// Binds a login that an issuer is to answer to the browser that began it.
    Flow,
}

impl Cookie {
    fn name(self, secure: bool) -> &'static str {
        match (self, secure) {
            (Self::Session, true) => "__Host-chaperone",
            (Self::Session, false) => "chaperone",
            (Self::Flow, true) => "__Host-chaperone-login",
            (Self::Flow, false) => "chaperone-login",
        }
    }

    /// Its value in a request; none where it is there twice, as nobody can tell which is whose.
    pub(super) fn of(self, headers: &HeaderMap, secure: bool) -> Option<&str> {
        let pairs = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut values = pairs
            .flat_map(|pairs| pairs.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(name, _)| *name == self.name(secure))
            .map(|(_, value)| value);
        match (values.next(), values.next()) {
            (Some(value), None) => Some(value),
            _ => None,
        }
    }

    /// `Set-Cookie` with this value.
    pub(super) fn set(self, value: &str, secure: bool, age: Duration) -> Option<HeaderValue> {
        let (name, age) = (self.name(secure), age.as_secs());
        let secure = if secure { "; Secure" } else { "" };
        let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={age}{secure}");
        let mut value = HeaderValue::try_from(text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// `Set-Cookie` that removes it.
    pub(super) fn clear(self, secure: bool) -> Option<HeaderValue> {
        self.set("", secure, Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_is_taken_and_two_are_not() {
        for (lines, found) in [
            (&["chaperone=a"][..], Some("a")),
            (&["x=1; chaperone=a; y=2"], Some("a")),
            (&["x=1", "chaperone=a=b"], Some("a=b")),
            (&["chaperone=a; chaperone=b"], None),
            (&["chaperone=a", "chaperone=a"], None),
            (&["Chaperone=a"], None),
            (&["__Host-chaperone=a"], None),
            (&["chaperone"], None),
            (&[], None),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::COOKIE, line.parse().unwrap());
            }
            assert_eq!(Cookie::Session.of(&headers, false), found, "{lines:?}");
        }
    }

    #[test]
    fn attributes_keep_it_from_scripts_and_other_sites() {
        let set = Cookie::Session.set("v", true, Duration::from_secs(60)).unwrap();
        assert_eq!(set, "__Host-chaperone=v; Path=/; HttpOnly; SameSite=Lax; Max-Age=60; Secure");
        let plain = Cookie::Flow.clear(false).unwrap();
        assert_eq!(plain, "chaperone-login=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0");
    }
}
