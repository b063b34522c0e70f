//! The canonical form of quantities: `1000m` is stored as `1`, `1024Mi` as `1Gi`, `0.5` as `500m`.

use serde_json::Value;

const NANO: i128 = 1_000_000_000;
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
/// Decimal suffixes from the largest down, with their worth in billionths.
const DECIMAL: [(&str, i128); 10] = [
    ("E", 1_000_000_000_000_000_000 * NANO),
    ("P", 1_000_000_000_000_000 * NANO),
    ("T", 1_000_000_000_000 * NANO),
    ("G", 1_000_000_000 * NANO),
    ("M", 1_000_000 * NANO),
    ("k", 1_000 * NANO),
    ("", NANO),
    ("m", 1_000_000),
    ("u", 1_000),
    ("n", 1),
];

/// The canonical form, or none for what is no quantity or is written with an exponent (which stays as it is).
pub(in crate::schema) fn canonical(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let (number, suffix) = split(&text);
    if let Some(power) = BINARY.iter().position(|known| *known == suffix).filter(|power| *power > 0) {
        let unit = 1024_i128.checked_pow(u32::try_from(power).ok()?)?;
        return Some(binary(parse(number)?.checked_mul(unit)?));
    }
    let unit = DECIMAL.iter().find(|(known, _)| *known == suffix)?.1;
    Some(decimal(parse(number)?.checked_mul(unit)?.div_euclid(NANO)))
}

/// Whether `value` reads as a quantity at all.
pub(in crate::schema) fn holds(value: &Value) -> bool {
    let text = match value {
        Value::String(text) => text.as_str(),
        Value::Number(_) => return true,
        _ => return false,
    };
    let (number, suffix) = split(text);
    let exponent = suffix.strip_prefix(['e', 'E']).is_some_and(|digits| digits.parse::<i32>().is_ok());
    parse(number).is_some()
        && (exponent || BINARY.contains(&suffix) || DECIMAL.iter().any(|(known, _)| *known == suffix))
}

fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !(c.is_ascii_digit() || "+-.".contains(c))).unwrap_or(text.len());
    text.split_at(end)
}

/// A decimal number in billionths. What is finer is rounded up, as Kubernetes does.
fn parse(number: &str) -> Option<i128> {
    let (sign, digits) = match number.as_bytes().first()? {
        b'-' => (-1, &number[1..]),
        b'+' => (1, &number[1..]),
        _ => (1, number),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() || !format!("{whole}{fraction}").bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut billionths: i128 = format!("{:0<9.9}", fraction).parse().ok()?;
    if fraction.bytes().skip(9).any(|digit| digit != b'0') {
        billionths += 1;
    }
    Some(sign * (whole.checked_mul(NANO)?.checked_add(billionths)?))
}

fn binary(billionths: i128) -> String {
    if billionths % NANO != 0 || (billionths / NANO).abs() < 1024 {
        return decimal(billionths);
    }
    let (mut amount, mut power) = (billionths / NANO, 0);
    while power + 1 < BINARY.len() && amount % 1024 == 0 {
        amount /= 1024;
        power += 1;
    }
    format!("{amount}{}", BINARY[power])
}

fn decimal(billionths: i128) -> String {
    if billionths == 0 {
        return "0".to_owned();
    }
    let (suffix, unit) = DECIMAL.into_iter().find(|(_, unit)| billionths % unit == 0).unwrap_or(("n", 1));
    format!("{}{suffix}", billionths / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_forms_are_those_of_the_api_machinery() {
        for (given, expected) in [
            ("1", "1"),
            ("1000m", "1"),
            ("0.5", "500m"),
            ("1.5Gi", "1536Mi"),
            ("1024Mi", "1Gi"),
            ("1000Mi", "1000Mi"),
            ("0.5Ki", "512"),
            ("1000k", "1M"),
            ("2500000", "2500k"),
            ("0", "0"),
            ("-1000m", "-1"),
            ("100u", "100u"),
        ] {
            assert_eq!(canonical(&Value::from(given)).as_deref(), Some(expected), "{given}");
        }
        assert_eq!(canonical(&Value::from(2)).as_deref(), Some("2"));
        assert_eq!(canonical(&Value::from("1e3")), None);
        for (text, reads) in [("1e3", true), ("1x", false), ("", false), ("Gi", false), ("1.2.3", false), ("3Ti", true)]
        {
            assert_eq!(holds(&Value::from(text)), reads, "{text}");
        }
    }
}
