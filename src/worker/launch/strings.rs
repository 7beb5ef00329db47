//! Lists of texts in the form that execve takes.

/// Texts one after the other, a NUL after each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strings {
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

impl Strings {
    /// None.
    pub fn new() -> Strings {
        Strings::default()
    }

    /// Adds a text. One that holds a NUL ends there: whoever must know asks before.
    pub fn push(&mut self, text: &[u8]) {
        self.starts.push(self.bytes.len());
        let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
        self.bytes.extend_from_slice(text.get(..end).unwrap_or_default());
        self.bytes.push(0);
    }

    /// Adds `name=value`.
    pub fn push_pair(&mut self, name: &str, value: &str) {
        self.push(format!("{name}={value}").as_bytes());
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// The texts, without their NULs.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.starts.iter().filter_map(|start| self.bytes.get(*start..)?.split(|byte| *byte == 0).next())
    }

    /// Pointers to the texts, valid as long as the list lives unchanged.
    pub(super) fn pointers(&self) -> impl Iterator<Item = *const libc::c_char> {
        self.starts.iter().filter_map(|start| self.bytes.get(*start..)).map(|rest| rest.as_ptr().cast())
    }
}
