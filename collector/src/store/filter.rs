//! Which exchanges are meant: one vocabulary for the API's parameters and the command line's options.

use super::batch::key;
use super::index::micros;
use super::schema::Dialect;
use super::statement::Statement;
use super::words::{self, SearchWord, search_words};
use chaperone_record::Timestamp;
use clap::{Args, ValueEnum};
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};

/// Longest value that is looked for, in bytes.
const MAX_VALUE: usize = 512;

/// Longest id of a session that is looked for, in bytes.
const MAX_SESSION: usize = 1024;

/// Most words that are looked for at a time.
const MAX_WORDS: usize = 16;

/// Whether an exchange was let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum, ToSchema)]
#[schema(rename_all = "camelCase")]
pub enum Decision {
    /// The filter let it through.
    Allowed,
    /// The filter refused it.
    Refused,
}

impl Decision {
    /// The word that stands for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Refused => "refused",
        }
    }
}

/// What must be true of an exchange. Empty, it takes all.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq, Hash, IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub struct Filter {
    /// Began at this moment or later: like 2026-11-23T08:00:00Z, or as long ago as 90s, 30m, 2h or 7d.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    #[param(value_type = Option<String>)]
    pub since: Option<Timestamp>,
    /// Began until this moment.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    #[param(value_type = Option<String>)]
    pub until: Option<Timestamp>,
    /// The session.
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// The user, as the filter maps the token.
    #[arg(long)]
    pub user: Option<String>,
    /// One of the user's groups.
    #[arg(long)]
    pub group: Option<String>,
    /// The agent program.
    #[arg(long)]
    pub agent: Option<String>,
    /// The model.
    #[arg(long)]
    pub model: Option<String>,
    /// The prompt's id or digest.
    #[arg(long)]
    pub prompt: Option<String>,
    /// The verb: get, list, watch, create, update, patch, delete, …
    #[arg(long)]
    pub verb: Option<String>,
    /// The API group; empty for the core group.
    #[arg(long)]
    pub api_group: Option<String>,
    /// The resource, like pods or pods/exec.
    #[arg(long)]
    pub resource: Option<String>,
    /// The namespace.
    #[arg(long, short)]
    pub namespace: Option<String>,
    /// The object's name.
    #[arg(long)]
    pub name: Option<String>,
    /// Whether the filter let it through.
    #[arg(long, value_enum)]
    #[param(inline)]
    pub decision: Option<Decision>,
    /// The HTTP status that the agent got.
    #[arg(long, value_name = "CODE")]
    pub status: Option<u16>,
    /// With masked values.
    #[arg(long)]
    #[param(required = false)]
    pub masked: bool,
    /// Whose end or beginning is not in the records.
    #[arg(long)]
    #[param(required = false)]
    pub incomplete: bool,
    /// Whose signature was not checked on arrival.
    #[arg(long)]
    #[param(required = false)]
    pub unverified: bool,
    /// Words that its request or response holds, all of them; a `*` after a word stands for any ending.
    #[arg(skip)]
    #[param(rename = "q")]
    pub words: Option<String>,
}

/// A filter that cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Not one of its names.
    #[error("there is no such parameter")]
    Unknown,
    /// The same name twice.
    #[error("`{0}` is given twice")]
    Twice(&'static str),
    /// Not of the form.
    #[error("`{0}` is not {1}")]
    Form(&'static str, &'static str),
    /// Too much.
    #[error("`{0}` is too long")]
    Long(&'static str),
}

impl Filter {
    /// Sets one of its parts by the name that the API has for it.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), FilterError> {
        const TIME: &str = "an RFC 3339 time in UTC, or a length of time like 2h";
        let time = |name| moment(value).map_err(|_| FilterError::Form(name, TIME));
        let text = |_| Ok(value.to_owned());
        match name {
            "since" => once("since", &mut self.since, time),
            "until" => once("until", &mut self.until, time),
            "session" => once("session", &mut self.session, text),
            "user" => once("user", &mut self.user, text),
            "group" => once("group", &mut self.group, text),
            "agent" => once("agent", &mut self.agent, text),
            "model" => once("model", &mut self.model, text),
            "prompt" => once("prompt", &mut self.prompt, text),
            "verb" => once("verb", &mut self.verb, text),
            "apiGroup" => once("apiGroup", &mut self.api_group, text),
            "resource" => once("resource", &mut self.resource, text),
            "namespace" => once("namespace", &mut self.namespace, text),
            "name" => once("name", &mut self.name, text),
            "q" => once("q", &mut self.words, text),
            "decision" => once("decision", &mut self.decision, |name| {
                Decision::from_str(value, false).map_err(|_| FilterError::Form(name, "allowed or refused"))
            }),
            "status" => once("status", &mut self.status, |name| {
                value.parse().map_err(|_| FilterError::Form(name, "a status code"))
            }),
            "masked" => flag("masked", &mut self.masked, value),
            "incomplete" => flag("incomplete", &mut self.incomplete, value),
            "unverified" => flag("unverified", &mut self.unverified, value),
            _ => Err(FilterError::Unknown),
        }
    }

    /// Its parts by the names that the API has for them.
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
        let flag = |set: bool| set.then(|| "true".to_owned());
        let parts = [
            ("since", time(self.since)),
            ("until", time(self.until)),
            ("session", self.session.clone()),
            ("user", self.user.clone()),
            ("group", self.group.clone()),
            ("agent", self.agent.clone()),
            ("model", self.model.clone()),
            ("prompt", self.prompt.clone()),
            ("verb", self.verb.clone()),
            ("apiGroup", self.api_group.clone()),
            ("resource", self.resource.clone()),
            ("namespace", self.namespace.clone()),
            ("name", self.name.clone()),
            ("decision", self.decision.map(|decision| decision.as_str().to_owned())),
            ("status", self.status.map(|status| status.to_string())),
            ("masked", flag(self.masked)),
            ("incomplete", flag(self.incomplete)),
            ("unverified", flag(self.unverified)),
            ("q", self.words.clone()),
        ];
        parts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// Refuses what would take too long.
    pub fn check(&self) -> Result<(), FilterError> {
        for (name, value) in [
            ("user", &self.user),
            ("group", &self.group),
            ("agent", &self.agent),
            ("model", &self.model),
            ("prompt", &self.prompt),
            ("verb", &self.verb),
            ("apiGroup", &self.api_group),
            ("resource", &self.resource),
            ("namespace", &self.namespace),
            ("name", &self.name),
            ("q", &self.words),
        ] {
            if value.as_ref().is_some_and(|value| value.len() > MAX_VALUE) {
                return Err(FilterError::Long(name));
            }
        }
        if self.session.as_ref().is_some_and(|session| session.len() > MAX_SESSION) {
            return Err(FilterError::Long("session"));
        }
        let Some(words) = &self.words else { return Ok(()) };
        match search_words(words).len() {
            0 => Err(FilterError::Form("q", "a word: it has no letter or digit")),
            count if count > MAX_WORDS => Err(FilterError::Long("q")),
            _ => Ok(()),
        }
    }

    /// True where it takes every exchange.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// True where there is an index from what it asks for to few exchanges.
    pub(super) fn is_narrow(&self) -> bool {
        self.words.is_some() || self.namespace.is_some() && self.resource.is_some()
    }

    /// What sessions have a list of: each as its kind in that list and its name there.
    pub(super) fn session_values(&self) -> Vec<(&'static str, String)> {
        let values = [
            ("user", &self.user),
            ("agent", &self.agent),
            ("model", &self.model),
            ("prompt", &self.prompt),
            ("namespace", &self.namespace),
        ];
        let known = |(kind, value): (_, &Option<String>)| Some((kind, key(value.as_ref()?).into_owned()));
        values.into_iter().filter_map(known).collect()
    }

    /// True where it asks for nothing but one of these: the sessions that have it are those that are meant.
    pub(super) fn is_session_value(&self) -> bool {
        match self.parameters().as_slice() {
            // Nobody is somebody without a name in such a list, and in exchanges is not there.
            [(name, value)] => {
                !value.is_empty() && self.session_values().iter().any(|(kind, _)| kind == name)
            }
            _ => false,
        }
    }

    /// Adds what must be true of `sessions s` for one of its exchanges to meet the conditions, each after an ` AND `.
    pub(super) fn session_conditions(&self, statement: &mut Statement) {
        if let Some(session) = &self.session {
            statement.text(" AND s.session = ").value(key(session).into_owned());
        }
        if self.decision == Some(Decision::Refused) {
            statement.text(" AND s.refused > 0");
        }
        if let Some(since) = self.since {
            statement.text(" AND s.ended >= ").value(micros(since));
        }
        if let Some(until) = self.until {
            statement.text(" AND s.started <= ").value(micros(until));
        }
    }

    /// Adds its conditions on `exchanges x`, each after an ` AND `.
    pub(super) fn conditions(&self, dialect: Dialect, statement: &mut Statement) {
        self.head_conditions(statement);
        let words: Vec<SearchWord> = self.words().collect();
        words::conditions(&words, dialect, statement);
        if let Some(prompt) = &self.prompt {
            // There is no index of prompts but the lists that sessions have.
            statement.text(" AND x.session IN (SELECT v.session FROM session_values v WHERE v.kind = 'prompt' AND v.name = ");
            statement.value(key(prompt).into_owned()).text(")");
        }
    }

    /// The same for few exchanges, which on SQLite have no entry before the number `first`.
    pub(super) fn conditions_of_few(&self, dialect: Dialect, statement: &mut Statement, first: i64) {
        self.head_conditions(statement);
        for word in self.words() {
            word.condition_of_few(dialect, statement, first);
        }
    }

    pub(super) fn words(&self) -> impl Iterator<Item = SearchWord> {
        self.words.iter().flat_map(|words| search_words(words))
    }

    fn head_conditions(&self, statement: &mut Statement) {
        if let Some(since) = self.since {
            statement.text(" AND x.time >= ").value(micros(since));
        }
        if let Some(until) = self.until {
            statement.text(" AND x.time <= ").value(micros(until));
        }
        for (condition, value) in [
            (" AND x.session = ", &self.session),
            (" AND x.username = ", &self.user),
            (" AND x.agent = ", &self.agent),
            (" AND x.model = ", &self.model),
            (" AND x.prompt = ", &self.prompt),
            (" AND x.verb = ", &self.verb),
            (" AND x.api_group = ", &self.api_group),
            (" AND x.resource = ", &self.resource),
            (" AND x.namespace = ", &self.namespace),
            (" AND x.name = ", &self.name),
        ] {
            if let Some(value) = value {
                statement.text(condition).value(key(value).into_owned());
            }
        }
        if let Some(group) = &self.group {
            // True where the list has the name: what databases have for finding a text in another differs.
            statement
                .text(" AND replace(x.user_groups, ")
                .value(listed(group))
                .text(", '') <> x.user_groups");
        }
        if let Some(decision) = self.decision {
            statement.text(" AND x.refused = ").value(i64::from(decision == Decision::Refused));
        }
        if let Some(status) = self.status {
            statement.text(" AND x.status = ").value(i64::from(status));
        }
        for (condition, set) in [
            (" AND x.masked > 0", self.masked),
            (" AND x.state = 'incomplete'", self.incomplete),
            (" AND x.verified = 0", self.unverified),
        ] {
            if set {
                statement.text(condition);
            }
        }
    }
}

/// A group as it stands in the list of them that is searched.
pub(super) fn listed(group: &str) -> String {
    format!("\n{}\n", key(group).replace('\n', " "))
}

fn once<T>(
    name: &'static str,
    slot: &mut Option<T>,
    read: impl FnOnce(&'static str) -> Result<T, FilterError>,
) -> Result<(), FilterError> {
    match slot.replace(read(name)?) {
        None => Ok(()),
        Some(_) => Err(FilterError::Twice(name)),
    }
}

fn flag(name: &'static str, slot: &mut bool, value: &str) -> Result<(), FilterError> {
    if *slot {
        return Err(FilterError::Twice(name));
    }
    *slot = match value {
        "" | "true" => true,
        "false" => false,
        _ => return Err(FilterError::Form(name, "true or false")),
    };
    Ok(())
}

/// A moment, or how long ago it was.
pub(crate) fn moment(text: &str) -> Result<Timestamp, &'static str> {
    if let Some(time) = Timestamp::parse(text) {
        return Ok(time);
    }
    let ago = span(text).map_err(
        |_| "neither an RFC 3339 time in UTC, like 2026-11-23T08:00:00Z, nor a length of time, like 2h",
    )?;
    let micros = u64::try_from(ago.as_micros()).unwrap_or(u64::MAX);
    Ok(Timestamp::from_micros(crate::server::now().micros().saturating_sub(micros)))
}

/// A length of time: a number and one of `s`, `m`, `h`, `d`.
pub(crate) fn span(text: &str) -> Result<Duration, &'static str> {
    let seconds = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)].iter().find_map(|(unit, seconds)| {
        let number: u64 = text.strip_suffix(*unit)?.parse().ok()?;
        number.checked_mul(*seconds)
    });
    seconds.map(Duration::from_secs).ok_or("not a length of time like 90s, 30m, 2h or 7d")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (name, value, error) in [
            ("colour", "red", FilterError::Unknown),
            ("status", "many", FilterError::Form("status", "a status code")),
            ("decision", "maybe", FilterError::Form("decision", "allowed or refused")),
            ("masked", "1", FilterError::Form("masked", "true or false")),
        ] {
            assert_eq!(Filter::default().set(name, value), Err(error), "{name}={value}");
        }
        let mut filter = Filter::default();
        filter.set("user", "alice").unwrap();
        assert_eq!(filter.set("user", "bob"), Err(FilterError::Twice("user")));
        for (words, error) in [
            ("--", FilterError::Form("q", "a word: it has no letter or digit")),
            ("a b c d e f g h i j k l m n o p q", FilterError::Long("q")),
            (&"a".repeat(513), FilterError::Long("q")),
        ] {
            let filter = Filter { words: Some(words.to_owned()), ..Filter::default() };
            assert_eq!(filter.check(), Err(error), "{words}");
        }
    }

    #[test]
    fn every_part_has_a_name_that_is_understood() {
        let told = [
            ("since", "2026-11-23T08:00:00.000000Z"),
            ("until", "2026-11-23T09:00:00.000000Z"),
            ("session", "s 1"),
            ("user", "alice"),
            ("group", "devs"),
            ("agent", "a"),
            ("model", "m"),
            ("prompt", "p"),
            ("verb", "get"),
            ("apiGroup", ""),
            ("resource", "pods/exec"),
            ("namespace", "shop"),
            ("name", "web"),
            ("decision", "refused"),
            ("status", "403"),
            ("masked", "true"),
            ("incomplete", "true"),
            ("unverified", "true"),
            ("q", "crash*"),
        ];
        let mut filter = Filter::default();
        told.iter().for_each(|(name, value)| filter.set(name, value).unwrap());
        let parameters = filter.parameters();
        assert_eq!(parameters.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>(), told);
    }

    #[test]
    fn moments_are_told_absolutely_or_from_now() {
        assert_eq!(moment("2026-11-23T08:00:00Z"), Ok(Timestamp::parse("2026-11-23T08:00:00Z").unwrap()));
        assert!(moment("2h").unwrap() < moment("1m").unwrap());
        for bad in ["", "h", "-1h", "2w", "yesterday", "99999999999999999999d"] {
            assert!(moment(bad).is_err(), "{bad}");
        }
    }
}
