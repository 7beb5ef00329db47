//! Amounts of memory and disk as users write them: bare MiB, `K M G T P` with or without `B` or `iB`, all 1024-based.

use super::{digits, excerpt};

/// The largest amount that can be asked for, in bytes: an exbibyte.
pub const AMOUNT_BYTES_MAX: u64 = 1 << 60;

/// An amount, or the range that `--mem` also takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// That many bytes.
    Bytes(u64),
    /// From so many bytes to so many (`4G..16G`).
    Range(u64, u64),
}

/// Why an amount was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    /// Not of the form.
    #[error(
        "`{0}` is no amount of memory: write a whole number of MiB, or one with K, M, G or T, such as `4G`"
    )]
    Malformed(String),
    /// Above [`AMOUNT_BYTES_MAX`].
    #[error("`{0}` is more than an exbibyte")]
    TooMuch(String),
    /// A range that goes down.
    #[error("the range `{0}` goes down")]
    Descending(String),
}

/// Reads one amount, or a range of two.
pub fn amount(text: &str) -> Result<Amount, MemoryError> {
    let Some((least, most)) = text.split_once("..") else { return bytes(text).map(Amount::Bytes) };
    let (least, most) = (bytes(least)?, bytes(most)?);
    if most < least {
        return Err(MemoryError::Descending(excerpt(text)));
    }
    Ok(Amount::Range(least, most))
}

/// Reads one amount in bytes.
pub fn bytes(text: &str) -> Result<u64, MemoryError> {
    let words = text.trim();
    let letters = words.find(|c: char| !c.is_ascii_digit()).unwrap_or(words.len());
    let (count, unit) = words.split_at(letters);
    let shift = match unit.to_ascii_lowercase().as_str() {
        "k" | "kb" | "kib" => 10,
        "" | "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        "p" | "pb" | "pib" => 50,
        _ => return Err(MemoryError::Malformed(excerpt(text))),
    };
    if count.is_empty() {
        return Err(MemoryError::Malformed(excerpt(text)));
    }
    match digits(count).and_then(|count| count.checked_mul(1 << shift)) {
        Some(bytes) if bytes <= AMOUNT_BYTES_MAX => Ok(bytes),
        _ => Err(MemoryError::TooMuch(excerpt(text))),
    }
}

/// Writes an amount as short as it goes without rounding: `4G`, `1536M`, `1000K`, and bytes with a `B` below that.
pub fn write(bytes: u64) -> String {
    if bytes == 0 {
        return "0".to_owned();
    }
    for (shift, unit) in [(40, 'T'), (30, 'G'), (20, 'M'), (10, 'K')] {
        if bytes.trailing_zeros() >= shift {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    format!("{bytes}B")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn units_and_edges() {
        for four_gib in ["4G", "4g", "4GB", "4gb", "4GiB", "4096", "4096M", "4194304K"] {
            assert_eq!(bytes(four_gib), Ok(4 << 30), "{four_gib}");
        }
        assert_eq!(amount("4G..16G"), Ok(Amount::Range(4 << 30, 16 << 30)));
        assert!(matches!(amount("4G..1G"), Err(MemoryError::Descending(_))));
        assert_eq!(bytes("1024P"), Ok(AMOUNT_BYTES_MAX));
        assert!(matches!(bytes("1025P"), Err(MemoryError::TooMuch(_))));
        assert!(matches!(bytes("99999999999999999999G"), Err(MemoryError::TooMuch(_))));
        for bad in ["", "G", "4X", "-4G", "1.5G", "4 G", "4Gi", "4é"] {
            assert!(matches!(bytes(bad), Err(MemoryError::Malformed(_))), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(kib in 0..=(AMOUNT_BYTES_MAX >> 10)) {
            prop_assert_eq!(bytes(&write(kib << 10)), Ok(kib << 10));
        }

        #[test]
        fn no_string_is_too_strange(text in "[0-9KMGTPib.]{0,24}|\\PC{0,12}") {
            let _ = amount(&text);
        }
    }
}
