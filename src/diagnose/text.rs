//! Text from a database made fit for people: no control characters, no literals, a length.

/// Removes control and direction-changing characters, folds white space and cuts to `longest` characters.
pub fn printable(text: &str, longest: usize) -> String {
    let mut result = String::with_capacity(text.len().min(longest * 4));
    let mut length = 0;
    let mut space = false;
    for character in text.chars() {
        if character.is_whitespace() || character.is_control() || is_invisible(character) {
            space = length > 0;
            continue;
        }
        let needed = 1 + usize::from(space);
        if length + needed > longest.saturating_sub(1) {
            result.push('…');
            return result;
        }
        if space {
            result.push(' ');
            space = false;
        }
        result.push(character);
        length += needed;
    }
    result
}

/// Zero-width and bidirectional controls: they make a text look like another one.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Replaces every literal of an SQL text or expression by `?` and drops comments. Parameters (`$1`) and names stay.
///
/// Works on fragments (plan filters) and on truncated texts: an unfinished string is a literal to its end.
pub fn redact(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut result = String::with_capacity(text.len());
    let mut at = 0;
    while at < characters.len() {
        let rest = &characters[at..];
        let (taken, replaced) = match rest[0] {
            '\'' => (string_length(rest, false), Some("?")),
            '"' => (quoted_length(rest), None),
            '-' if rest.get(1) == Some(&'-') => (rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()), Some(" ")),
            '/' if rest.get(1) == Some(&'*') => (comment_length(rest), Some(" ")),
            '$' => dollar(rest),
            first if first.is_ascii_digit() => (number_length(rest), Some("?")),
            '.' if rest.get(1).is_some_and(char::is_ascii_digit) => (1 + number_length(&rest[1..]), Some("?")),
            first if is_word(first) => word(rest),
            _ => (1, None),
        };
        match replaced {
            Some(replacement) => result.push_str(replacement),
            None => result.extend(&rest[..taken]),
        }
        at += taken;
    }
    result
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn word(rest: &[char]) -> (usize, Option<&'static str>) {
    let length = rest.iter().position(|c| !(is_word(*c) || *c == '$')).unwrap_or(rest.len());
    if rest.get(length) == Some(&'\'')
        && length == 1
        && matches!(rest[0], 'e' | 'E' | 'b' | 'B' | 'x' | 'X' | 'n' | 'N')
    {
        let escapes = matches!(rest[0], 'e' | 'E');
        return (1 + string_length(&rest[1..], escapes), Some("?"));
    }
    (length, None)
}

fn string_length(rest: &[char], escapes: bool) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' if escapes => at += 2,
            '\'' if rest.get(at + 1) == Some(&'\'') => at += 2,
            '\'' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn quoted_length(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '"' if rest.get(at + 1) == Some(&'"') => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn comment_length(rest: &[char]) -> usize {
    let mut depth = 1;
    let mut at = 2;
    while at < rest.len() {
        match (rest[at], rest.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn number_length(rest: &[char]) -> usize {
    let mut at = 0;
    while at < rest.len() {
        let exponent_sign = matches!(rest[at], '+' | '-')
            && at > 0
            && matches!(rest[at - 1], 'e' | 'E')
            && rest.get(at + 1).is_some_and(char::is_ascii_digit);
        if !(is_word(rest[at]) || rest[at] == '.' || exponent_sign) {
            break;
        }
        at += 1;
    }
    at
}

/// `$1` is a parameter and stays; `$tag$ … $tag$` is a literal.
fn dollar(rest: &[char]) -> (usize, Option<&'static str>) {
    let tag = 1 + rest[1..].iter().position(|c| !is_word(*c)).unwrap_or(rest.len() - 1);
    if rest.get(1).is_some_and(char::is_ascii_digit) {
        return (tag, None);
    }
    if rest.get(tag) != Some(&'$') {
        return (1, None);
    }
    let delimiter = &rest[..=tag];
    let body = &rest[tag + 1..];
    let end = body.windows(delimiter.len()).position(|window| window == delimiter);
    (end.map_or(rest.len(), |end| tag + 1 + end + delimiter.len()), Some("?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_never_stay() {
        for (text, expected) in [
            ("(id = 42)", "(id = ?)"),
            ("(name = 'O''Brien'::text)", "(name = ?::text)"),
            (r"a = E'it\'s secret' and b = $2", "a = ? and b = $2"),
            ("x > -1.5e-7 and t1.c2 = .5", "x > -? and t1.c2 = ?"),
            ("select $$a 'b'$$, $t$ x $t$", "select ?, ?"),
            ("select 1 /* secret /* nested */ */ + 2 -- tail 7\nfrom t", "select ?   + ?  \nfrom t"),
            (r#"select "a 1 ""b" from t where c = 'open"#, r#"select "a 1 ""b" from t where c = ?"#),
            ("x'ff' b'01' n'y' 0x1F", "? ? ? ?"),
        ] {
            assert_eq!(redact(text), expected);
        }
    }

    #[test]
    fn text_is_printable_and_short() {
        assert_eq!(printable("a\u{1b}[31m\n\tb\u{202e}c", 100), "a [31m b c");
        assert_eq!(printable("äöüß", 3), "äö…");
        assert_eq!(printable("  a  ", 3), "a");
        assert!(printable(&"x ".repeat(500), 64).chars().count() <= 64);
    }
}
