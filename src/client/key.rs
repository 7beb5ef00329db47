//! Makes the key by which the controller knows a repeated request again.

use std::fmt::Write;

/// Bytes of randomness in a key.
const KEY_RANDOM_BYTES: usize = 16;

/// A new key: 128 random bits as 32 hexadecimal digits.
///
/// # Errors
/// When the system gives no randomness.
pub fn random() -> Result<String, getrandom::Error> {
    let mut bytes = [0; KEY_RANDOM_BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().fold(String::with_capacity(2 * KEY_RANDOM_BYTES), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_and_fit_the_protocol() {
        let (one, other) = (random().unwrap(), random().unwrap());
        assert_ne!(one, other);
        assert!(one.len() == 32 && one.len() <= crate::wire::client::KEY_BYTES_MAX);
    }
}
