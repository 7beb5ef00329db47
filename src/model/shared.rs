//! Lists of things that are often alike, read so that neighbours that are equal are one in memory.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};

/// Room is made for at most so many elements before the first is read: a length that lies costs nothing.
const CAPACITY_MAX: usize = 4_096;

/// Reads a list as `Vec<T>` is read; an element that equals the one before it is shared with it.
///
/// # Errors
/// What the format says.
pub fn list<'de, D, T>(deserializer: D) -> Result<Vec<Arc<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + PartialEq,
{
    deserializer.deserialize_seq(List(PhantomData))
}

struct List<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + PartialEq> Visitor<'de> for List<T> {
    type Value = Vec<Arc<T>>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<Arc<T>>, A::Error> {
        let mut list: Vec<Arc<T>> =
            Vec::with_capacity(elements.size_hint().unwrap_or_default().min(CAPACITY_MAX));
        while let Some(element) = elements.next_element::<T>()? {
            let shared = match list.last().filter(|last| ***last == element) {
                Some(last) => Arc::clone(last),
                None => Arc::new(element),
            };
            list.push(shared);
        }
        Ok(list)
    }
}

/// `new`, or `old` if the two are equal: then only one of them stays in memory.
pub fn same_or<T: PartialEq + ?Sized>(old: &Arc<T>, new: &Arc<T>) -> Arc<T> {
    Arc::clone(if old == new { old } else { new })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Serialize;

    #[derive(Debug, PartialEq, serde::Deserialize, Serialize)]
    struct Words {
        #[serde(deserialize_with = "list")]
        list: Vec<Arc<String>>,
    }

    #[test]
    fn equal_neighbours_are_one_and_nothing_else_changes() {
        let plain = ["a", "a", "b", "a"];
        let text = serde_json::json!({ "list": plain }).to_string();
        let read: Words = serde_json::from_str(&text).unwrap();
        assert_eq!(read.list.iter().map(|word| word.as_str()).collect::<Vec<_>>(), plain);
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        let ids: Vec<*const String> = read.list.iter().map(Arc::as_ptr).collect();
        assert!(ids[0] == ids[1] && ids[1] != ids[2] && ids[2] != ids[3]);
    }
}
