//! Lengths of time as Kubernetes writes them.

use std::time::Duration;

/// `1h30m`, `90s`, `4h`, `2d`. None for anything else, for zero, and for more than 30 days.
pub fn parse_time(text: &str) -> Option<Duration> {
    let mut total: u64 = 0;
    let mut digits: Option<u64> = None;
    for c in text.chars() {
        if let Some(digit) = c.to_digit(10) {
            digits = Some(digits.unwrap_or(0).checked_mul(10)?.checked_add(u64::from(digit))?);
            continue;
        }
        let unit = match c {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return None,
        };
        total = total.checked_add(digits.take()?.checked_mul(unit)?)?;
    }
    (digits.is_none() && (1..=30 * 86_400).contains(&total)).then(|| Duration::from_secs(total))
}

/// The shortest way to write it: `4h`, `1h30m`, `90s` as `1m30s`.
pub(super) fn write_time(time: Duration) -> String {
    let mut left = time.as_secs();
    let mut text = String::new();
    for (unit, seconds) in [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)] {
        if left >= seconds {
            text.push_str(&format!("{}{unit}", left / seconds));
            left %= seconds;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        for (text, seconds) in [("4h", 14_400), ("1h30m", 5_400), ("90s", 90), ("2d", 172_800), ("1m1m", 120)] {
            assert_eq!(parse_time(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for (seconds, text) in [(14_400, "4h"), (5_400, "1h30m"), (90, "1m30s"), (90_061, "1d1h1m1s")] {
            assert_eq!(write_time(Duration::from_secs(seconds)), text);
            assert_eq!(parse_time(text), Some(Duration::from_secs(seconds)));
        }
        for text in ["", "4", "h", "4 h", "-4h", "4.5h", "0s", "31d", "99999999999999999999h", "4h5"] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }
}
