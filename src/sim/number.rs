//! Numbers as they stand in traces: mostly integers, now and then with a fraction.

/// The largest number, and below zero the smallest, that is understood: sums of many of them still fit 64 bits.
pub const NUMBER_MAX: i64 = 1_000_000_000_000_000;

/// The integer part of a number; `None` if it is none, or beyond [`NUMBER_MAX`].
pub fn integer_part(word: &[u8]) -> Option<i64> {
    let (negative, digits) = match word {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    // Sixteen digits are more than are understood, and never overflow.
    let plain = (1..=16).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    let number = if plain {
        digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0'))
    } else {
        fraction(digits)?
    };
    (number <= NUMBER_MAX).then_some(if negative { -number } else { number })
}

fn fraction(digits: &[u8]) -> Option<i64> {
    // Words such as `inf` and a second sign are numbers to the library, but not to us.
    if !digits.first().is_some_and(|first| first.is_ascii_digit() || *first == b'.') {
        return None;
    }
    let number = str::from_utf8(digits).ok()?.parse::<f64>().ok()?.trunc();
    (number <= NUMBER_MAX as f64).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_leniently() {
        let read = |word: &str| integer_part(word.as_bytes());
        assert_eq!(read("0"), Some(0));
        assert_eq!(read("-1"), Some(-1));
        assert_eq!(read("+12"), Some(12));
        assert_eq!(read("12.9"), Some(12));
        assert_eq!(read("-0.5"), Some(0));
        assert_eq!(read("1e3"), Some(1_000));
        assert_eq!(read("1000000000000000"), Some(NUMBER_MAX));
        assert_eq!(read("-1000000000000000.0"), Some(-NUMBER_MAX));
        for bad in
            ["", "-", "x", "1x", "inf", "NaN", "--1", "1000000000000001", "1e99", "99999999999999999999"]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
