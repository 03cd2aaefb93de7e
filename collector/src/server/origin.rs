//! Where a request comes from, and where an answer may send a browser: never from or to another site.

use axum::http::{HeaderMap, header};

/// The collector's own origin as browsers see it.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// `https://records.example.com`; none where it is what the request says.
    pub(super) public: Option<String>,
    /// Whether browsers reach it over TLS.
    pub(super) secure: bool,
}

impl Origin {
    /// Its text, for a request with these headers.
    pub(super) fn text(&self, headers: &HeaderMap) -> Option<String> {
        let said = || {
            let host = headers.get(header::HOST)?.to_str().ok()?;
            Some(format!("{}://{host}", if self.secure { "https" } else { "http" }))
        };
        self.public.clone().or_else(said)
    }

    /// True where no other site's page can have made a browser send this. `Sec-Fetch-Site` decides where it is there: no
    /// page can set it. `Origin` is `null` where the page's referrer policy says so, which tells nothing. Who sends
    /// neither is no browser.
    pub(super) fn is_own(&self, headers: &HeaderMap) -> bool {
        let one = |name: &str| {
            let mut values = headers.get_all(name).iter();
            match (values.next(), values.next()) {
                (None, _) => Ok(None),
                (Some(value), None) => value.to_str().map(Some).map_err(drop),
                _ => Err(()),
            }
        };
        match (one("sec-fetch-site"), one("origin")) {
            (Ok(None), Ok(None)) | (Ok(Some("same-origin")), Ok(None | Some("null"))) => true,
            (Ok(None | Some("same-origin")), Ok(Some(origin))) => {
                self.text(headers).is_some_and(|own| own.eq_ignore_ascii_case(origin))
            }
            _ => false,
        }
    }
}

/// The path, where it is one of this server: `/sessions?user=alice`. Browsers take `//host` and `/\host` for another's.
pub(super) fn local(path: &str) -> &str {
    let good = path.starts_with('/')
        && !path[1..].starts_with(['/', '\\'])
        && path.len() <= 2048
        && path.bytes().all(|c| c.is_ascii_graphic() && c != b'\\');
    if good { path } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_local_paths_are_gone_to() {
        for (path, taken) in [
            ("/", "/"),
            ("/sessions?user=a&next=//x", "/sessions?user=a&next=//x"),
            ("", "/"),
            ("sessions", "/"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("/a\\b", "/"),
            ("/\t/evil.example", "/"),
            ("/a\r\nset-cookie: x", "/"),
            ("https://evil.example", "/"),
            ("javascript:alert(1)", "/"),
            ("/ü", "/"),
        ] {
            assert_eq!(local(path), taken, "{path}");
        }
    }

    #[test]
    fn other_sites_are_known() {
        let own = Origin { public: Some("https://records.example.com".to_owned()), secure: true };
        let here = "https://records.example.com";
        for (pairs, good) in [
            (&[][..], true),
            (&[("origin", here)], true),
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("sec-fetch-site", "same-origin"), ("origin", here)], true),
            (&[("sec-fetch-site", "same-origin"), ("origin", "null")], true),
            (&[("origin", "null")], false),
            (&[("origin", "https://evil.example")], false),
            (&[("origin", "http://records.example.com")], false),
            (&[("origin", "https://records.example.com:8443")], false),
            (&[("origin", here), ("origin", here)], false),
            (&[("sec-fetch-site", "same-site"), ("origin", here)], false),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("sec-fetch-site", "same-origin"), ("origin", "https://evil.example")], false),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, value.parse().unwrap());
            }
            assert_eq!(own.is_own(&headers), good, "{pairs:?}");
        }
        let unnamed = Origin { public: None, secure: false };
        let mut headers = HeaderMap::new();
        headers.insert("host", "127.0.0.1:8088".parse().unwrap());
        headers.insert("origin", "http://127.0.0.1:8088".parse().unwrap());
        assert!(unnamed.is_own(&headers));
        headers.insert("origin", "http://localhost:8088".parse().unwrap());
        assert!(!unnamed.is_own(&headers));
    }
}
