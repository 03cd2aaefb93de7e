use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::fmt;
use std::time::Duration;

/// A moment in UTC with microseconds; on the wire RFC 3339, `2026-11-23T08:27:21.000123Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// From microseconds since 1970-01-01T00:00:00Z. Moments past the year 9999 are brought back to its end.
    pub const fn from_micros(micros: u64) -> Self {
        const LAST: u64 = 253_402_300_799_999_999;
        Self(if micros > LAST { LAST } else { micros })
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// So much later; at the end of time, that.
    pub fn later(self, by: Duration) -> Self {
        Self::from_micros(self.0.saturating_add(u64::try_from(by.as_micros()).unwrap_or(u64::MAX)))
    }

    /// Parses RFC 3339 in UTC (`Z`), with up to nine fractional digits; what is finer than a microsecond is cut off.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let number = |from: usize, to: usize| -> Option<u64> {
            let digits = bytes.get(from..to)?;
            digits.iter().try_fold(0u64, |n, b| b.is_ascii_digit().then(|| n * 10 + u64::from(b - b'0')))
        };
        let literal = |at: usize, byte: u8| (bytes.get(at) == Some(&byte)).then_some(());
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        literal(4, b'-').and(literal(7, b'-')).and(literal(10, b'T'))?;
        literal(13, b':').and(literal(16, b':'))?;
        let (fraction, zone) = match bytes.get(19)? {
            b'.' => {
                let digits = bytes.len().checked_sub(21).filter(|n| (1..=9).contains(n))?;
                let shown = number(20, 20 + digits)?;
                let scale = 10u64.pow(9 - u32::try_from(digits).ok()?);
                (shown * scale / 1000, 20 + digits)
            }
            _ => (0, 19),
        };
        literal(zone, b'Z')?;
        let valid = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
        if bytes.len() != zone + 1 || !valid || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let parsed = Self(
            ((days_from_civil(year, month, day) * 24 + hour) * 60 + minute) * 60_000_000
                + second * 1_000_000
                + fraction,
        );
        // The 31st of a shorter month lands in the next one: then the text is not the time's own.
        (civil_from_days(parsed.0 / 86_400_000_000) == (year, month, day)).then_some(parsed)
    }
}

/// Days since 1970-01-01 of a date in the proleptic Gregorian calendar, years 1970 and after.
const fn days_from_civil(year: u64, month: u64, day: u64) -> u64 {
    // Years begin in March here, so that the leap day is a year's last.
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

/// The date of a day counted from 1970-01-01: year, month, day.
const fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + if month <= 2 { 1 } else { 0 }, month, day)
}

/// The RFC 3339 text of a moment. Four of them are in every record: `write!` would take a tenth of the record's time.
struct Text([u8; 27]);

impl Text {
    fn of(time: Timestamp) -> Self {
        let (seconds, micros) = (time.0 / 1_000_000, time.0 % 1_000_000);
        let (year, month, day) = civil_from_days(seconds / 86_400);
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        let fields = [
            (3, 4, year),
            (6, 2, month),
            (9, 2, day),
            (12, 2, seconds / 3600 % 24),
            (15, 2, seconds / 60 % 60),
            (18, 2, seconds % 60),
            (25, 6, micros),
        ];
        for (last, digits, mut value) in fields {
            for place in text.iter_mut().take(last + 1).rev().take(digits) {
                *place = b'0' + u8::try_from(value % 10).unwrap_or_default();
                value /= 10;
            }
        }
        Self(text)
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Text::of(*self).as_str())
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Timestamp {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        use utoipa::openapi::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
        let format = SchemaFormat::KnownFormat(KnownFormat::DateTime);
        ObjectBuilder::new().schema_type(Type::String).format(Some(format)).into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Timestamp {}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(Text::of(*self).as_str())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("not an RFC 3339 time in UTC"))
    }
}
