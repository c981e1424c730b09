//! What kind of statement a text is, by its first keyword.

use crate::measure::StatementKind;

/// Keywords of control of transactions and sessions: poolers and drivers send them around everything, whatever the
/// application does.
const CONTROL: [&str; 20] = [
    "BEGIN",
    "START",
    "COMMIT",
    "END",
    "ROLLBACK",
    "ABORT",
    "SAVEPOINT",
    "RELEASE",
    "SET",
    "RESET",
    "SHOW",
    "DISCARD",
    "DEALLOCATE",
    "DECLARE",
    "FETCH",
    "MOVE",
    "CLOSE",
    "LISTEN",
    "UNLISTEN",
    "NOTIFY",
];

/// What a statement does; `None` for control of transactions and sessions, and where there is no keyword at all.
///
/// Comments and opening parentheses before the first keyword are skipped. A `PREPARE ... AS` is what it prepares, because
/// its executions are counted under its text; a `WITH` is what follows its named queries, and a `SELECT` where the text
/// ends before that.
pub fn kind(text: &str) -> Option<StatementKind> {
    let (word, rest) = word(begin(text));
    let is = |keyword: &str| word.eq_ignore_ascii_case(keyword);
    if is("PREPARE") {
        return prepared(rest).map_or(Some(StatementKind::Other), kind);
    }
    if is("WITH") {
        return Some(after_named_queries(rest));
    }
    if let Some(kind) = of_rows(word) {
        return Some(kind);
    }
    (!word.is_empty() && !CONTROL.iter().any(|keyword| is(keyword))).then_some(StatementKind::Other)
}

/// Whether the statement reads or writes rows, as opposed to transaction control, maintenance and definition: a
/// `CREATE INDEX` of ten minutes is no slow query.
pub fn touches_rows(text: &str) -> bool {
    kind(text).is_some_and(StatementKind::touches_rows)
}

fn of_rows(word: &str) -> Option<StatementKind> {
    let is = |keyword: &str| word.eq_ignore_ascii_case(keyword);
    if is("SELECT") || is("VALUES") || is("TABLE") {
        Some(StatementKind::Select)
    } else if is("INSERT") {
        Some(StatementKind::Insert)
    } else if is("UPDATE") || is("MERGE") {
        Some(StatementKind::Update)
    } else if is("DELETE") {
        Some(StatementKind::Delete)
    } else {
        None
    }
}

/// The first keyword over rows outside of all parentheses, quotes and comments.
fn after_named_queries(text: &str) -> StatementKind {
    let mut rest = text;
    let mut depth = 0_usize;
    while let Some(first) = rest.chars().next() {
        rest = match first {
            '(' => {
                depth += 1;
                &rest[1..]
            }
            ')' => {
                depth = depth.saturating_sub(1);
                &rest[1..]
            }
            '"' | '\'' => rest[1..].split_once(first).map_or("", |(_, after)| after),
            '-' if rest.starts_with("--") => rest.split_once('\n').map_or("", |(_, after)| after),
            '/' if rest.starts_with("/*") => after_comment(rest),
            first if first.is_alphanumeric() || first == '_' => {
                let end = rest.find(|character: char| !(character.is_alphanumeric() || character == '_'));
                let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
                if let Some(kind) = of_rows(word).filter(|_| depth == 0) {
                    return kind;
                }
                after
            }
            first => &rest[first.len_utf8()..],
        };
    }
    StatementKind::Select
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
    fn each_statement_has_its_kind() {
        use StatementKind::{Delete, Insert, Other, Select, Update};
        for (text, expected) in [
            ("select 1", Some(Select)),
            ("TABLE a", Some(Select)),
            ("values (1)", Some(Select)),
            ("insert into a select * from b", Some(Insert)),
            ("/* x */ Update a set b = 1", Some(Update)),
            ("merge into a using b on true when matched then delete", Some(Update)),
            ("delete from a", Some(Delete)),
            ("with x as (select 1) select * from x", Some(Select)),
            ("with x (a, b) as materialized (select 1) insert into a select * from x", Some(Insert)),
            ("with recursive x as (insert into a values (1) returning *), y as (select 1) delete from b", Some(Delete)),
            ("with \"update\" as (select ')' -- )\n /* ) */) update a set b = 1", Some(Update)),
            ("with x as (select 1", Some(Select)),
            ("with", Some(Select)),
            ("prepare p as update a set b = $1", Some(Update)),
            ("prepare p", Some(Other)),
            ("create index i on a (b)", Some(Other)),
            ("copy a to stdout", Some(Other)),
            ("call p()", Some(Other)),
            ("explain select 1", Some(Other)),
            ("begin", None),
            ("COMMIT", None),
            ("set search_path = a", None),
            ("fetch 100 from c", None),
            ("", None),
            ("-- only a comment", None),
            ("é", None),
        ] {
            assert_eq!(kind(text), expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_survived(text in ".{0,200}", opening in "(?i)(with|prepare|select|\\(|/\\*|--)") {
            kind(&text);
            kind(&format!("{opening} {text}"));
        }
    }

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
