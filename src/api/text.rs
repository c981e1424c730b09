//! Values that people write as text: durations, decimals and references.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Serialize};

/// A duration as people write it: a whole number and one unit of `ms`, `s`, `m`, `h`, `d` (`10s`, `5m`, `14d`).
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct DurationText(pub String);

/// Why a text is not a duration.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{found:?} is not a duration: allowed is a whole number with one unit of ms, s, m, h, d, such as 5m")]
pub struct DurationError {
    /// The text as it was found.
    pub found: String,
}

impl DurationText {
    /// Parses the text.
    ///
    /// # Errors
    /// [`DurationError`] when the text is no whole number with a unit, or too large for a `Duration`.
    pub fn resolve(&self) -> Result<Duration, DurationError> {
        let error = || DurationError { found: self.0.clone() };
        let digits = self.0.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = self.0[..digits].parse().map_err(|_| error())?;
        let milliseconds = match &self.0[digits..] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(error()),
        };
        number.checked_mul(milliseconds).map(Duration::from_millis).ok_or_else(error)
    }
}

impl From<&str> for DurationText {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl JsonSchema for DurationText {
    fn schema_name() -> Cow<'static, str> {
        "DurationText".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$", "maxLength": 16 })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// A number that may have a fraction, a unit or a percent sign: `3`, `"2.5"`, `"85%"`, `"500ms"`, `"10GiB"`.
///
/// Kubernetes advises against floating-point numbers in specs, so a fraction is written as text.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Decimal {
    /// A whole number without a unit.
    Whole(i64),
    /// Text: a number with an optional fraction and unit.
    Text(String),
}

/// Why a text is not a decimal number.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{found:?} is not a number: allowed is a decimal number with an optional unit, such as 3, \"2.5\" or \"85%\"")]
pub struct DecimalError {
    /// The text as it was found.
    pub found: String,
}

impl Decimal {
    /// Splits the value into its number and its unit (empty when none was written).
    ///
    /// # Errors
    /// [`DecimalError`] when the text does not begin with a finite number.
    pub fn resolve(&self) -> Result<(f64, &str), DecimalError> {
        match self {
            Self::Whole(number) => Ok((*number as f64, "")),
            Self::Text(text) => {
                let trimmed = text.trim();
                let end = trimmed
                    .find(|character: char| !(character.is_ascii_digit() || matches!(character, '.' | '-' | '+')))
                    .unwrap_or(trimmed.len());
                let (number, unit) = trimmed.split_at(end);
                match number.parse::<f64>() {
                    Ok(number) if number.is_finite() => Ok((number, unit.trim())),
                    _ => Err(DecimalError { found: text.clone() }),
                }
            }
        }
    }
}

impl std::fmt::Display for Decimal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole(number) => write!(formatter, "{number}"),
            Self::Text(text) => formatter.write_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "allowed is a number, such as 3, or text, such as \"2.5\", \"85%\" or 500ms")]
        enum Written {
            Whole(i64),
            // 2.0, which the schema lets pass as a whole number, and 2.5, which it does not.
            Fraction(f64),
            Text(String),
        }
        Ok(match Written::deserialize(deserializer)? {
            Written::Whole(number) => Self::Whole(number),
            Written::Fraction(number) if number.fract() == 0.0 => Self::Text(number.to_string()),
            Written::Fraction(number) => {
                return Err(D::Error::custom(format!("a fraction is written in quotes: \"{number}\"")));
            }
            Written::Text(text) => Self::Text(text),
        })
    }
}

impl JsonSchema for Decimal {
    fn schema_name() -> Cow<'static, str> {
        "Decimal".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "x-kubernetes-int-or-string": true, "maxLength": 24 })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// The name of an object of a known kind in the same namespace.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct LocalReference {
    /// Name of the object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

impl From<&str> for LocalReference {
    fn from(name: &str) -> Self {
        Self { name: name.to_owned() }
    }
}

/// An object of a known kind in the same namespace, bound to one incarnation of it.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct ObjectReference {
    /// Name of the object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// UID of the object: an object of the same name that was created later is another one.
    #[schemars(length(max = 64))]
    pub uid: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_one_unit() {
        for (text, seconds) in [("10s", 10.0), ("500ms", 0.5), ("5m", 300.0), ("1h", 3600.0), ("14d", 1_209_600.0)] {
            let found = DurationText::from(text).resolve().map(|duration| duration.as_secs_f64());
            assert_eq!(found, Ok(seconds), "{text}");
        }
        for text in ["", "5", "m", "5 m", "-5m", "1h30m", "99999999999999999999d", "5M"] {
            assert!(DurationText::from(text).resolve().is_err(), "{text}");
        }
    }

    #[test]
    fn decimals_keep_their_unit_apart() {
        let text = |text: &str| Decimal::Text(text.to_owned());
        assert_eq!(Decimal::Whole(3).resolve(), Ok((3.0, "")));
        assert_eq!(text("85%").resolve(), Ok((85.0, "%")));
        assert_eq!(text("2.5").resolve(), Ok((2.5, "")));
        assert_eq!(text("500ms").resolve(), Ok((500.0, "ms")));
        assert_eq!(text("10 GiB").resolve(), Ok((10.0, "GiB")));
        assert!(text("GiB").resolve().is_err());
        assert!(text("").resolve().is_err());
        let said = serde_json::from_str::<Decimal>("{}").map_err(|error| error.to_string()).unwrap_err();
        assert!(said.starts_with("allowed is a number"), "{said}");
    }
}
