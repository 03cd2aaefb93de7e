//! The fields that `masking.resources` names: a subset of JSONPath, followed while a document is read.

/// As many fields may apply to one request.
pub const MOST_FIELDS: usize = 64;

/// The fields to mask in the objects of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    paths: Vec<Vec<Step>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(Vec<u8>),
    /// Every element, or every member.
    Any,
}

/// Which fields lead through a place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// A bit for each.
    paths: u64,
    depth: usize,
    /// A field ends here or further out: every string from here on is masked.
    pub(super) hit: bool,
}

impl Reach {
    /// Whether any field leads through here.
    pub(super) fn any(self) -> bool {
        self.hit || self.paths != 0
    }
}

impl Fields {
    /// Adds a path: `$.spec.x`, `$.spec.list[*].y`, `$.data['a.b']`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn add(&mut self, path: &str) -> Result<(), &'static str> {
        if self.paths.len() >= MOST_FIELDS {
            return Err("is one field too many: at most 64 can apply to one resource");
        }
        self.paths.push(steps(path).ok_or(
            "is not understood; write $.spec.x, with [*] for every element and ['a.b'] for a key with a dot",
        )?);
        Ok(())
    }

    /// Adds all of another's.
    ///
    /// # Errors
    /// Together they are too many.
    pub fn extend(&mut self, other: &Self) -> Result<(), &'static str> {
        if self.paths.len().saturating_add(other.paths.len()) > MOST_FIELDS {
            return Err("are too many: at most 64 can apply to one resource");
        }
        self.paths.extend_from_slice(&other.paths);
        Ok(())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// At an object's root.
    pub(super) fn root(&self) -> Reach {
        let unused = 64_u32.saturating_sub(u32::try_from(self.paths.len()).unwrap_or(64));
        Reach { paths: u64::MAX.checked_shr(unused).unwrap_or(0), depth: 0, hit: false }
    }

    /// At a member of a place.
    pub(super) fn member(&self, from: Reach, key: &[u8]) -> Reach {
        self.follow(from, |step| match step {
            Step::Key(name) => name == key,
            Step::Any => true,
        })
    }

    /// At an element of a place.
    pub(super) fn element(&self, from: Reach) -> Reach {
        self.follow(from, |step| *step == Step::Any)
    }

    fn follow(&self, from: Reach, takes: impl Fn(&Step) -> bool) -> Reach {
        if from.hit || from.paths == 0 {
            return from;
        }
        let mut reach = Reach { paths: 0, depth: from.depth.saturating_add(1), hit: false };
        for (at, path) in self.paths.iter().enumerate() {
            let bit = 1_u64 << (at & 63);
            if from.paths & bit != 0 && path.get(from.depth).is_some_and(&takes) {
                reach.paths |= bit;
                reach.hit |= path.len() == reach.depth;
            }
        }
        reach
    }
}

fn steps(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let step;
        (step, rest) = if let Some(after) = rest.strip_prefix("[*]").or_else(|| rest.strip_prefix(".*")) {
            (Step::Any, after)
        } else if let Some(after) = rest.strip_prefix("['") {
            let (key, after) = after.split_once("']")?;
            (Step::Key(key.replace("\\'", "'").into_bytes()), after)
        } else {
            let after = rest.strip_prefix('.')?;
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let (key, after) = after.split_at(end);
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'$');
            if key.is_empty() || !key.bytes().all(plain) {
                return None;
            }
            (Step::Key(key.as_bytes().to_vec()), after)
        };
        steps.push(step);
    }
    (!steps.is_empty() && steps.len() <= 32).then_some(steps)
}

#[cfg(test)]
mod tests {
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    /// Follows keys; `*` stands for an element of an array.
    fn hits(field: &str, way: &[&str]) -> bool {
        let mut fields = Fields::default();
        fields.add(field).unwrap();
        let step = |reach, key: &&str| match *key {
            "*" => fields.element(reach),
            key => fields.member(reach, key.as_bytes()),
        };
        way.iter().fold(fields.root(), step).hit
    }

    #[test]
    fn fields_are_found_where_they_stand() {
        for (field, way, expected) in [
            ("$.spec.token", &["spec", "token"][..], true),
            ("$.spec.token", &["spec"], false),
            ("$.spec.token", &["spec", "tokens"], false),
            ("$.spec.token", &["spec", "token", "below", "*", "x"], true),
            ("$.spec.list[*].key", &["spec", "list", "*", "key"], true),
            ("$.spec.list[*].key", &["spec", "list", "key"], false),
            ("$.data[*]", &["data", "any"], true),
            ("$.data.*", &["data", "any"], true),
            ("$.data['a.b']", &["data", "a.b"], true),
            ("$['spec']['x']", &["spec", "x"], true),
            ("$.a-b_c", &["a-b_c"], true),
        ] {
            assert_eq!(hits(field, way), expected, "{field} {way:?}");
        }
    }

    #[test]
    fn what_is_no_field_is_refused() {
        for field in
            ["", "$", "spec.x", "$.", "$..x", "$.a[0]", "$.a[?(@.x)]", "$.a['b]", "$.a b", "$[", "$.a[*"]
        {
            assert!(Fields::default().add(field).is_err(), "{field}");
        }
    }
}
