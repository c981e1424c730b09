//! From text to words: names, numbers and signs of CEL, each with its place.

use super::super::FieldError;

/// Field of the spec that errors name.
pub(super) const FIELD: &str = "detect.expression";
/// Most characters of the text that an error quotes.
const QUOTED: usize = 48;

/// Signs, the longer before what they begin with.
const SIGNS: [&str; 21] = [
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "%", "!", "?", ":", "(", ")", "[", "]", ",",
];

/// A word of an expression.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Word<'a> {
    /// A name, or several joined by dots.
    Name(&'a str),
    /// A finite number.
    Number(f64),
    /// One of [`SIGNS`].
    Sign(&'static str),
    /// The end of the text.
    End,
}

/// A word and where it begins, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed<'a> {
    pub word: Word<'a>,
    pub start: usize,
}

/// Splits a text; the last word is the end.
///
/// # Errors
/// [`FieldError`] at the first character that is not of the language, and at a number that is none.
pub(super) fn words(text: &str) -> Result<Vec<Placed<'_>>, FieldError> {
    let mut words = Vec::new();
    let mut start = 0;
    while let Some(first) = text[start..].chars().next() {
        let rest = &text[start..];
        let length = if first.is_whitespace() {
            first.len_utf8()
        } else if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if first.is_ascii_alphabetic() || first == '_' {
            let length = span(rest, |character| character.is_ascii_alphanumeric() || matches!(character, '_' | '.'));
            words.push(Placed { word: Word::Name(&rest[..length]), start });
            length
        } else if first.is_ascii_digit() || (first == '.' && rest[1..].starts_with(|next: char| next.is_ascii_digit())) {
            let length = number_length(rest);
            let number = number(&rest[..length]).ok_or_else(|| {
                error_at(text, start, "a finite number, such as 5, 0.5, 1e3 or 0x1F")
            })?;
            words.push(Placed { word: Word::Number(number), start });
            length
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            words.push(Placed { word: Word::Sign(sign), start });
            sign.len()
        } else {
            return Err(error_at(text, start, super::compile::FORMS));
        };
        start += length;
    }
    words.push(Placed { word: Word::End, start: text.len() });
    Ok(words)
}

fn span(text: &str, of: impl Fn(char) -> bool) -> usize {
    text.find(|character| !of(character)).unwrap_or(text.len())
}

/// Digits, letters and dots, and a sign after the `e` of an exponent.
fn number_length(text: &str) -> usize {
    let mut before = ' ';
    let hexadecimal = text.starts_with("0x") || text.starts_with("0X");
    let end = text.find(|character: char| {
        let exponent = matches!(before, 'e' | 'E') && matches!(character, '+' | '-') && !hexadecimal;
        before = character;
        !(exponent || character.is_ascii_alphanumeric() || character == '.')
    });
    end.unwrap_or(text.len())
}

fn number(text: &str) -> Option<f64> {
    let whole = text.strip_suffix(['u', 'U']).unwrap_or(text);
    if let Some(digits) = whole.strip_prefix("0x").or_else(|| whole.strip_prefix("0X")) {
        return u64::from_str_radix(digits, 16).ok().map(|number| number as f64);
    }
    let is_written = |text: &str| text.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    let number: f64 = whole.parse().ok().filter(|_| is_written(whole) && !whole.ends_with('.'))?;
    (number.is_finite() && (whole.len() == text.len() || number.fract() == 0.0)).then_some(number)
}

/// An error at a byte of the text: its line and column, from 1, in characters.
pub(super) fn error_at(text: &str, start: usize, allowed: impl Into<String>) -> FieldError {
    let (before, rest) = text.split_at_checked(start).unwrap_or((text, ""));
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    let found = match rest.split_whitespace().next() {
        Some(word) => word.chars().take(QUOTED).collect(),
        None => "the end".to_owned(),
    };
    FieldError { field: format!("{FIELD}, line {line}, column {column}"), found, allowed: allowed.into() }
}
