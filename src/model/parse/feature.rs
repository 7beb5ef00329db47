//! The expression of `--constraint`: `a&b|c`, brackets allowed. What a node has is a list of names.

use serde::{Deserialize, Serialize};

use super::excerpt;
use crate::model::identity::name_is_valid;

/// The most names in one expression.
pub const CONSTRAINT_NAMES_MAX: usize = 64;

/// Which features a node must have: one of these alternatives in full. At least one, and none is empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Constraint(Vec<Vec<String>>);

/// Why an expression was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeatureError {
    /// Not of the form.
    #[error(
        "`{0}` is no list of features: write names with `&` (all of them), `|` (any of them) and brackets"
    )]
    Malformed(String),
    /// A word that is no name.
    #[error("`{0}` can't be a feature: 1 to 63 letters, digits, `-`, `_` and `.`")]
    BadName(String),
    /// `a|b&c` is read differently by different people.
    #[error("`{0}` has `&` after `|`: say by brackets what belongs together")]
    Ambiguous(String),
    /// More than [`CONSTRAINT_NAMES_MAX`] once it is multiplied out.
    #[error("more than {CONSTRAINT_NAMES_MAX} names once `{0}` is multiplied out")]
    TooMany(String),
}

impl Constraint {
    /// Whether a node with these features will do.
    pub fn holds(&self, features: &[String]) -> bool {
        self.0.iter().any(|all| all.iter().all(|name| features.contains(name)))
    }

    /// The names in it.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flatten().map(String::as_str)
    }

    /// Whether it is what [`constraint`] makes: everything else could only come from a client that is none of ours.
    pub fn is_valid(&self) -> bool {
        !self.0.is_empty()
            && !self.0.iter().any(Vec::is_empty)
            && self.names().count() <= CONSTRAINT_NAMES_MAX
    }
}

impl std::fmt::Display for Constraint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words: Vec<String> = self.0.iter().map(|all| all.join("&")).collect();
        f.write_str(&words.join("|"))
    }
}

/// Reads an expression. `&` binds as in `a&b|c`; after a `|` brackets must say it.
///
/// # Errors
/// [`FeatureError`].
pub fn constraint(text: &str) -> Result<Constraint, FeatureError> {
    let mut reader = Reader { text, rest: text.trim(), depth: 0 };
    let found = reader.any()?;
    if !reader.rest.is_empty() {
        return Err(FeatureError::Malformed(excerpt(text)));
    }
    Ok(found)
}

/// Brackets inside brackets, at most so deep.
const DEPTH_MAX: u32 = 8;

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
    depth: u32,
}

impl Reader<'_> {
    fn eat(&mut self, sign: char) -> bool {
        let rest = self.rest.trim_start();
        let eaten = rest.strip_prefix(sign);
        self.rest = eaten.unwrap_or(rest).trim_start();
        eaten.is_some()
    }

    fn any(&mut self) -> Result<Constraint, FeatureError> {
        let mut alternatives = self.all(false)?;
        while self.eat('|') {
            alternatives.extend(self.all(true)?);
        }
        let found = Constraint(alternatives);
        if found.is_valid() { Ok(found) } else { Err(FeatureError::TooMany(excerpt(self.text))) }
    }

    fn all(&mut self, later: bool) -> Result<Vec<Vec<String>>, FeatureError> {
        let mut product = self.one()?;
        while self.eat('&') {
            if later {
                return Err(FeatureError::Ambiguous(excerpt(self.text)));
            }
            let next = self.one()?;
            let pairs = product
                .iter()
                .flat_map(|left| next.iter().map(move |right| [left.as_slice(), right].concat()));
            product = pairs.take(CONSTRAINT_NAMES_MAX + 1).collect();
        }
        Ok(product)
    }

    fn one(&mut self) -> Result<Vec<Vec<String>>, FeatureError> {
        for (open, close) in [('(', ')'), ('[', ']')] {
            if self.eat(open) {
                self.depth += 1;
                if self.depth > DEPTH_MAX {
                    return Err(FeatureError::Malformed(excerpt(self.text)));
                }
                let inner = self.any()?;
                self.depth -= 1;
                if !self.eat(close) {
                    return Err(FeatureError::Malformed(excerpt(self.text)));
                }
                return Ok(inner.0);
            }
        }
        let end = self.rest.find(['&', '|', '(', ')', '[', ']']).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        let name = name.trim();
        match name {
            "" => Err(FeatureError::Malformed(excerpt(self.text))),
            _ if !name_is_valid(name) => Err(FeatureError::BadName(excerpt(name))),
            _ => Ok(vec![vec![name.to_owned()]]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alternatives_of_features() {
        let holds = |text: &str, features: &[&str]| {
            let features: Vec<String> = features.iter().map(|name| (*name).to_owned()).collect();
            constraint(text).unwrap().holds(&features)
        };
        assert!(holds("a&b|c", &["a", "b"]) && holds("a&b|c", &["c"]) && !holds("a&b|c", &["a"]));
        assert!(holds("a & (b|[c])", &["a", "c"]) && !holds("a&(b|c)", &["a"]));
        assert_eq!(constraint("(a|b)&c").unwrap().to_string(), "a&c|b&c");
        assert!(matches!(constraint("a|b&c"), Err(FeatureError::Ambiguous(_))));
        for bad in ["", "a&", "|a", "(a", "a)", "a b", "a*2", "[]"] {
            assert!(constraint(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn expressions_have_an_end() {
        let all = |count: usize| vec!["a"; count].join("|");
        assert!(constraint(&all(CONSTRAINT_NAMES_MAX)).is_ok());
        assert!(constraint(&all(CONSTRAINT_NAMES_MAX + 1)).is_err());
        assert!(constraint(&vec!["(a|b)"; 40].join("&")).is_err());
        assert!(constraint(&"(".repeat(100_000)).is_err());
    }
}
