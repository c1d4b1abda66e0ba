//! The meaning of a scalar: the core schema of YAML 1.2 (section 10.3.2), implemented by hand.
//!
//! `yes`, `on`, `18:00` and `2026-01-15` are text in it. The result is compared with what `serde_yaml` reads.

use crate::domain::MAX_WHOLE_NUMBER;

/// A resolved scalar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Unsigned(u64),
    Negative(i64),
    Float(f64),
    Text,
}

/// Why a scalar has no value that a policy could use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// `.nan` and `.inf`: JSON has neither.
    NotFinite,
    /// An integer that a double cannot hold: an action's numbers are doubles on the wire.
    TooLarge,
}

impl Unusable {
    pub(super) const fn message(self) -> &'static str {
        match self {
            Self::NotFinite => {
                "is no finite number: JSON has no infinity and no NaN, so no parameter could ever equal it"
            }
            Self::TooLarge => {
                "is an integer beyond ±(2^53 - 1), which a JSON number cannot hold exactly: write a long id as text, \
                 in quotes"
            }
        }
    }
}

/// The meaning of a plain (unquoted) scalar.
pub(super) fn resolve(text: &str) -> Result<Scalar, Unusable> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Scalar::Null),
        "true" | "True" | "TRUE" => return Ok(Scalar::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Scalar::Bool(false)),
        _ => {}
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Err(Unusable::NotFinite);
    }
    let has_all = |digits: &str, is_digit: fn(&u8) -> bool| !digits.is_empty() && digits.bytes().all(|b| is_digit(&b));
    if let Some(digits) = text.strip_prefix("0x").filter(|digits| has_all(digits, u8::is_ascii_hexdigit)) {
        return integer(u64::from_str_radix(digits, 16).ok(), false);
    }
    if let Some(digits) = text.strip_prefix("0o").filter(|digits| has_all(digits, |b| matches!(b, b'0'..=b'7'))) {
        return integer(u64::from_str_radix(digits, 8).ok(), false);
    }
    if has_all(unsigned, u8::is_ascii_digit) {
        return integer(unsigned.parse().ok(), text.starts_with('-'));
    }
    if is_float(unsigned) {
        // Rust reads every number that the grammar of the core schema allows.
        return match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Scalar::Float(value)),
            _ => Err(Unusable::NotFinite),
        };
    }
    Ok(Scalar::Text)
}

fn integer(digits: Option<u64>, is_negative: bool) -> Result<Scalar, Unusable> {
    match digits {
        None => Err(Unusable::TooLarge),
        Some(value) if value > MAX_WHOLE_NUMBER => Err(Unusable::TooLarge),
        Some(value) if is_negative && value > 0 => {
            i64::try_from(value).map(|value| Scalar::Negative(-value)).map_err(|_| Unusable::TooLarge)
        }
        Some(value) => Ok(Scalar::Unsigned(value)),
    }
}

/// `( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn is_float(unsigned: &str) -> bool {
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let is_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let is_exponent = |text: &str| {
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        !digits.is_empty() && is_digits(digits)
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    is_digits(whole)
        && is_digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(is_exponent)
}

/// A word that YAML 1.1 readers, and many people, take for a boolean.
pub(super) fn looks_boolean(text: &str) -> bool {
    text.len() <= 3 && ["yes", "no", "on", "off"].iter().any(|word| text.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_schema_knows_few_words() {
        for text in
            ["yes", "on", "18:00", "2026-01-15", "1_000", "0b11", ".", "1e", "e3", "+", "-", "nan", "inf", "1.2.3"]
        {
            assert_eq!(resolve(text), Ok(Scalar::Text), "{text}");
        }
        assert_eq!(resolve("~"), Ok(Scalar::Null));
        assert_eq!(resolve("TRUE"), Ok(Scalar::Bool(true)));
    }

    #[test]
    fn numbers_are_integers_or_floats() {
        assert_eq!(resolve("+5"), Ok(Scalar::Unsigned(5)));
        assert_eq!(resolve("-50"), Ok(Scalar::Negative(-50)));
        assert_eq!(resolve("-0"), Ok(Scalar::Unsigned(0)));
        assert_eq!(resolve("0x1F"), Ok(Scalar::Unsigned(31)));
        assert_eq!(resolve("0o17"), Ok(Scalar::Unsigned(15)));
        assert_eq!(resolve(".5"), Ok(Scalar::Float(0.5)));
        assert_eq!(resolve("5."), Ok(Scalar::Float(5.0)));
        assert_eq!(resolve("1e3"), Ok(Scalar::Float(1000.0)));
    }

    #[test]
    fn what_json_cannot_hold_is_unusable() {
        assert_eq!(resolve("-.inf"), Err(Unusable::NotFinite));
        assert_eq!(resolve(".nan"), Err(Unusable::NotFinite));
        assert_eq!(resolve("1e400"), Err(Unusable::NotFinite));
        assert_eq!(resolve("9007199254740991"), Ok(Scalar::Unsigned(MAX_WHOLE_NUMBER)));
        assert_eq!(resolve("-9007199254740991"), Ok(Scalar::Negative(1 - (1 << 53))));
        assert_eq!(resolve("9007199254740992"), Err(Unusable::TooLarge));
        assert_eq!(resolve("9007199254740993"), Err(Unusable::TooLarge));
        assert_eq!(resolve("-100000000000000000000"), Err(Unusable::TooLarge));
    }
}
