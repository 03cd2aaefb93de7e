//! The pages of logging in: plain HTML, without any script.

use super::problem::Problem;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

/// A page that says why something was not done.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    heading: &'static str,
    text: String,
    retry_after: Option<u32>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, heading: &'static str, text: impl Into<String>) -> Self {
        Self { status, heading, text: text.into(), retry_after: None }
    }

    /// Too often.
    pub(super) fn too_often(seconds: u32) -> Self {
        let text = format!("Too many logins were tried. Try again in {seconds} seconds.");
        let heading = "Too many logins";
        Self { retry_after: Some(seconds), ..Self::new(StatusCode::TOO_MANY_REQUESTS, heading, text) }
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::new(problem.status(), "That did not work", problem.detail())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let text = format!("<p>{}</p>\n<p><a href=\"/login\">Log in</a></p>", escaped(&self.text));
        let mut response = (self.status, page(self.heading, &text)).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// A page with this heading; the body is HTML.
pub(super) fn page(heading: &str, body: &str) -> Html<String> {
    let heading = escaped(heading);
    Html(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
        <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{heading} · Chaperone</title>\n\
        <link rel=\"stylesheet\" href=\"{}\">\n</head>\n<body class=\"plain\">\n<main>\n<h1>{heading}</h1>\n{body}\n</main>\n</body>\n</html>\n",
        crate::ui::stylesheet()
    ))
}

/// Text as HTML has it, in attributes too.
pub(super) fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut html, c| {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c if c.is_control() => html.push(' '),
            c => html.push(c),
        }
        html
    })
}
