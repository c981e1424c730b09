//! What kind of statement a text is, by its first keyword.

/// Keywords that begin a statement whose execution time is what clients wait for when they read or write rows.
const ROWS: [&str; 8] = ["SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "WITH", "VALUES", "TABLE"];

/// Whether the statement reads or writes rows, as opposed to transaction control, maintenance and definition: a
/// `CREATE INDEX` of ten minutes is no slow query. Comments and opening parentheses before the first keyword are
/// skipped; a `PREPARE ... AS` is what it prepares, because its executions are counted under its text.
pub fn touches_rows(text: &str) -> bool {
    let start = begin(text);
    let (word, rest) = word(start);
    if word.eq_ignore_ascii_case("PREPARE") {
        return prepared(rest).is_some_and(touches_rows);
    }
    ROWS.iter().any(|keyword| word.eq_ignore_ascii_case(keyword))
}

/// The text from its first character that is neither space, comment nor opening parenthesis.
fn begin(mut text: &str) -> &str {
    loop {
        text = text.trim_start_matches(|character: char| character.is_whitespace() || character == '(');
        if let Some(comment) = text.strip_prefix("--") {
            text = comment.split_once('\n').map_or("", |(_, rest)| rest);
        } else if text.starts_with("/*") {
            text = after_comment(text);
        } else {
            return text;
        }
    }
}

/// The text after a block comment, which in PostgreSQL may hold others.
fn after_comment(text: &str) -> &str {
    let bytes = text.as_bytes();
    let (mut depth, mut position) = (0_usize, 0);
    while position + 1 < bytes.len() {
        match &bytes[position..position + 2] {
            b"/*" => (depth, position) = (depth + 1, position + 2),
            b"*/" => {
                (depth, position) = (depth - 1, position + 2);
                if depth == 0 {
                    return &text[position..];
                }
            }
            _ => position += 1,
        }
    }
    ""
}

fn word(text: &str) -> (&str, &str) {
    let end = text.find(|character: char| !character.is_ascii_alphabetic()).unwrap_or(text.len());
    text.split_at(end)
}

/// What follows `AS` in `name [(types)] AS statement`.
fn prepared(text: &str) -> Option<&str> {
    let text = text.trim_start();
    let after_name = match text.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"')?.1,
        None => &text[text.find(|character: char| character.is_whitespace() || character == '(')?..],
    };
    let after_name = after_name.trim_start();
    let after_types = if after_name.starts_with('(') { after_name.split_once(')')?.1.trim_start() } else { after_name };
    let (keyword, rest) = word(after_types);
    keyword.eq_ignore_ascii_case("AS").then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_over_rows_are_told_from_all_others() {
        for text in [
            "select 1",
            "  \n\tSELECT * FROM a",
            "-- a comment\n-- another\nupdate a set b = $1",
            "/* controller: /* nested */ x */ insert into a values ($1)",
            "((select 1) union (select 2))",
            "with x as (select 1) select * from x",
            "prepare \"a b\" (int, text) as select $1",
            "PREPARE p AS delete from a",
            "table a",
            "values (1)",
            "merge into a using b on true when matched then do nothing",
        ] {
            assert!(touches_rows(text), "{text}");
        }
        for text in [
            "create index concurrently i on a (b)",
            "begin",
            "COMMIT",
            "selection",
            "explain analyze select 1",
            "vacuum a",
            "copy a to stdout",
            "prepare p",
            "/* never closed select 1",
            "-- only a comment",
            "",
            "/*/ select 1",
            "é",
        ] {
            assert!(!touches_rows(text), "{text}");
        }
    }
}
