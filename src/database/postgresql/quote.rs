//! The only place where a name becomes part of an SQL text.

/// Longest identifier in bytes (`NAMEDATALEN` − 1): the server would silently cut a longer one to another name.
pub const IDENTIFIER_BYTES: usize = 63;

/// Why a text is no identifier.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum QuoteError {
    /// Zero-length identifiers do not exist in PostgreSQL.
    #[error("an identifier is empty")]
    Empty,
    /// NUL ends a message of the protocol.
    #[error("an identifier contains a NUL character")]
    Nul,
    /// The server would cut it.
    #[error("an identifier has {0} bytes: allowed are 63")]
    TooLong(usize),
}

/// Quotes one name so that the server reads exactly this identifier and nothing else: wrapped in double quotes,
/// inner double quotes doubled. Holds for every value of `standard_conforming_strings`, because a backslash has no
/// meaning in a quoted identifier.
///
/// # Errors
/// [`QuoteError`] when no identifier of this name can exist.
pub fn quote_identifier(name: &str) -> Result<String, QuoteError> {
    if name.is_empty() {
        return Err(QuoteError::Empty);
    }
    if name.contains('\0') {
        return Err(QuoteError::Nul);
    }
    if name.len() > IDENTIFIER_BYTES {
        return Err(QuoteError::TooLong(name.len()));
    }
    Ok(format!("\"{}\"", name.replace('"', "\"\"")))
}

/// A name in a hint for people, as it has to be written in SQL. What cannot be a name is shown as the text it is.
pub fn shown(name: &str) -> String {
    quote_identifier(name).unwrap_or_else(|_| format!("{name:?}"))
}

/// Quotes a name with its schema: `"schema"."name"`.
///
/// # Errors
/// [`QuoteError`] as of [`quote_identifier`].
pub fn quote_qualified(schema: &str, name: &str) -> Result<String, QuoteError> {
    Ok(format!("{}.{}", quote_identifier(schema)?, quote_identifier(name)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sqlparser::dialect::PostgreSqlDialect;
    use sqlparser::tokenizer::{Token, Tokenizer};

    use super::*;

    #[test]
    fn hostile_names_stay_one_identifier() {
        assert_eq!(quote_identifier(r#"a"b; drop table x --"#), Ok(r#""a""b; drop table x --""#.to_owned()));
        assert_eq!(quote_qualified("Mixed", r#"sp ace""#), Ok(r#""Mixed"."sp ace""""#.to_owned()));
    }

    #[test]
    fn names_that_cannot_exist_are_refused() {
        assert_eq!(quote_identifier(""), Err(QuoteError::Empty));
        assert_eq!(quote_identifier("a\0b"), Err(QuoteError::Nul));
        assert_eq!(quote_identifier(&"ä".repeat(32)), Err(QuoteError::TooLong(64)));
        assert!(quote_identifier(&"a".repeat(63)).is_ok());
    }

    proptest! {
        #[test]
        fn every_quoted_name_parses_back_to_exactly_itself(name in r#"[ -~äß\n\t"'\\;$-]{1,30}"#) {
            let quoted = quote_identifier(&name).expect("a legal name");
            let tokens = Tokenizer::new(&PostgreSqlDialect {}, &quoted).tokenize().expect("tokens");
            prop_assert_eq!(tokens.len(), 1);
            let Token::Word(word) = &tokens[0] else { return Err(TestCaseError::fail("no identifier")) };
            prop_assert_eq!(word.quote_style, Some('"'));
            prop_assert_eq!(&word.value, &name);
        }
    }
}
