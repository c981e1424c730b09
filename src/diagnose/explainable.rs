//! A stored statement text turned into one that may be sent after `EXPLAIN`: exactly one statement that only reads.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, FromTable, Query, SetExpr, Statement, TableWithJoins, UpdateTableFromKind, Value, visit_expressions_mut,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, Tokenizer};

use super::looked::StatementKind;

/// Longest statement that is analysed, in bytes. Ours: longer texts are generated, and parsing them costs more than it tells.
pub const LONGEST_STATEMENT: usize = 20_000;

/// Longest name in bytes (`NAMEDATALEN` − 1).
const LONGEST_NAME: usize = 63;

/// A statement that may be explained.
#[derive(Clone, Debug, PartialEq)]
pub struct Explainable {
    /// What the original does.
    pub kind: StatementKind,
    /// One SELECT with the original's predicates; parameters are numbered from 1 without gaps.
    pub sql: String,
    /// Number of parameters.
    pub parameters: usize,
}

/// Parses exactly one statement of SELECT, UPDATE or DELETE.
///
/// `pg_stat_statements` turns the constant of `interval '1 day'` into `interval $1`, which neither PostgreSQL nor the
/// parser reads; such typed constants become casts (`$1::interval`) first.
///
/// # Errors
/// Why the text cannot be analysed, for people.
pub fn parse(text: &str) -> Result<Statement, String> {
    if text.len() > LONGEST_STATEMENT {
        return Err(format!("the statement has {} bytes: at most {LONGEST_STATEMENT} are analysed", text.len()));
    }
    if text.contains('\0') {
        return Err("the statement contains a NUL character".into());
    }
    let dialect = PostgreSqlDialect {};
    let mut tokens =
        Tokenizer::new(&dialect, text).tokenize().map_err(|_| "the statement cannot be read".to_owned())?;
    cast_typed_parameters(&mut tokens);
    let parsed = Parser::new(&dialect).with_tokens(tokens).parse_statements();
    let mut statements = parsed.map_err(|_| "the statement cannot be parsed".to_owned())?;
    match (statements.pop(), statements.len()) {
        (Some(statement), 0) => match statement {
            Statement::Query(_) | Statement::Update(_) | Statement::Delete(_) => Ok(statement),
            // The executions of a statement prepared in SQL are counted under the text of its PREPARE.
            Statement::Prepare { statement, .. }
                if matches!(*statement, Statement::Query(_) | Statement::Update(_) | Statement::Delete(_)) =>
            {
                Ok(*statement)
            }
            _ => Err("only SELECT, UPDATE and DELETE are analysed".into()),
        },
        (None, _) => Err("the text holds no statement".into()),
        _ => Err("the text holds more than one statement".into()),
    }
}

/// Turns one statement into the SELECT that reads the same rows; locks (`FOR UPDATE`) are left out, since they ask for
/// rights that a reader does not have.
///
/// # Errors
/// As of [`parse`]; also for statements that read nothing (INSERT) or that change rows below the top level.
pub fn explainable(text: &str) -> Result<Explainable, String> {
    let mut statement = parse(text)?;
    let (kind, sql) = match &mut statement {
        Statement::Query(query) => as_select(query)?,
        other => (kind_of(other), select_of(other, "")?),
    };
    let mut parsed = parse(&sql)?;
    let parameters = number_parameters(&mut parsed);
    Ok(Explainable { kind, sql: parsed.to_string(), parameters })
}

/// Every word of a statement that can name something, as the server folds it: what is not quoted in lower case.
///
/// # Errors
/// What in the text keeps the words from being known, for people.
pub fn words(sql: &str) -> Result<Vec<String>, String> {
    let tokens =
        Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize().map_err(|_| "the statement cannot be read".to_owned())?;
    let mut found = BTreeSet::new();
    for (at, token) in tokens.iter().enumerate() {
        let Token::Word(word) = token else { continue };
        let bare = word.quote_style.is_none();
        let next = tokens[at + 1..].iter().find(|token| !matches!(token, Token::Whitespace(_)));
        if bare && word.value.eq_ignore_ascii_case("operator") && next == Some(&Token::LParen) {
            return Err("an operator that is named with its schema".into());
        }
        // Unicode escapes would spell a name in another way.
        if bare && word.value.eq_ignore_ascii_case("u") && tokens.get(at + 1) == Some(&Token::Ampersand) {
            return Err("a name with Unicode escapes".into());
        }
        if word.value.len() > LONGEST_NAME {
            return Err("a name that the server would cut".into());
        }
        if bare {
            // Beyond ASCII, folding depends on the server's encoding: both spellings count.
            found.extend([word.value.to_ascii_lowercase(), word.value.to_lowercase()]);
        } else {
            found.insert(word.value.clone());
        }
    }
    Ok(found.into_iter().collect())
}

fn as_select(query: &mut Query) -> Result<(StatementKind, String), String> {
    let tables = query.with.iter().flat_map(|with| &with.cte_tables);
    if tables.into_iter().any(|table| changes_rows(&table.query.body)) {
        return Err("a statement that changes rows in a WITH clause is not analysed".into());
    }
    let with = query.with.as_ref().map(|with| format!("{with} ")).unwrap_or_default();
    match query.body.as_ref() {
        SetExpr::Update(statement) | SetExpr::Delete(statement) => {
            Ok((kind_of(statement), select_of(statement, &with)?))
        }
        SetExpr::Insert(_) | SetExpr::Merge(_) => Err("only SELECT, UPDATE and DELETE are analysed".into()),
        SetExpr::Select(select) if select.into.is_some() => Err("SELECT INTO creates a table".into()),
        _ => {
            query.locks.clear();
            Ok((StatementKind::Select, query.to_string()))
        }
    }
}

fn changes_rows(body: &SetExpr) -> bool {
    matches!(body, SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Insert(_) | SetExpr::Merge(_))
}

fn kind_of(statement: &Statement) -> StatementKind {
    match statement {
        Statement::Query(_) => StatementKind::Select,
        Statement::Update(_) => StatementKind::Update,
        Statement::Delete(_) => StatementKind::Delete,
        _ => StatementKind::Other,
    }
}

/// The tables that an UPDATE or DELETE reads, and its condition.
pub(super) fn sources(statement: &Statement) -> Option<(Vec<&TableWithJoins>, Option<&Expr>)> {
    match statement {
        Statement::Update(update) => {
            let from = match &update.from {
                Some(UpdateTableFromKind::BeforeSet(tables) | UpdateTableFromKind::AfterSet(tables)) => &tables[..],
                None => &[],
            };
            Some((std::iter::once(&update.table).chain(from).collect(), update.selection.as_ref()))
        }
        Statement::Delete(delete) => {
            let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
            let using = delete.using.as_deref().unwrap_or_default();
            Some((from.iter().chain(using).collect(), delete.selection.as_ref()))
        }
        _ => None,
    }
}

fn select_of(statement: &Statement, with: &str) -> Result<String, String> {
    let (tables, selection) = sources(statement).ok_or("only SELECT, UPDATE and DELETE are analysed")?;
    let tables: Vec<String> = tables.iter().map(ToString::to_string).collect();
    let mut sql = format!("{with}SELECT 1 FROM {}", tables.join(", "));
    if let Some(selection) = selection {
        // Writing to a String cannot fail.
        let _ = write!(sql, " WHERE {selection}");
    }
    Ok(sql)
}

/// Renumbers in order of appearance: parameters of a SET clause are gone, and PREPARE refuses gaps.
fn number_parameters(statement: &mut Statement) -> usize {
    let mut seen: Vec<String> = Vec::new();
    let _ = visit_expressions_mut(statement, |expression| {
        if let Expr::Value(value) = expression
            && let Value::Placeholder(name) = &mut value.value
        {
            let number = seen.iter().position(|known| known == name).unwrap_or_else(|| {
                seen.push(name.clone());
                seen.len() - 1
            });
            *name = format!("${}", number + 1);
        }
        ControlFlow::<()>::Continue(())
    });
    seen.len()
}

fn cast_typed_parameters(tokens: &mut Vec<Token>) {
    let mut at = 0;
    while at < tokens.len() {
        let next = (at + 1..tokens.len()).find(|index| !matches!(tokens[*index], Token::Whitespace(_)));
        if let (Token::Word(word), Some(next)) = (&tokens[at], next)
            && word.quote_style.is_none()
            && ["interval", "date", "time", "timestamp", "timestamptz", "timetz"]
                .contains(&word.value.to_ascii_lowercase().as_str())
            && matches!(tokens[next], Token::Placeholder(_))
        {
            let word = tokens[at].clone();
            let parameter = tokens[next].clone();
            tokens.splice(at..=next, [parameter, Token::DoubleColon, word]);
            at += 2;
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sql(text: &str) -> String {
        explainable(text).map_or_else(|reason| format!("refused: {reason}"), |found| found.sql)
    }

    #[test]
    fn changes_become_the_select_that_reads_the_same_rows() {
        assert_eq!(
            sql(
                "UPDATE orders o SET total = $1, seen = $2 FROM customers c WHERE o.customer_id = c.id AND c.email = $3"
            ),
            "SELECT 1 FROM orders o, customers c WHERE o.customer_id = c.id AND c.email = $1"
        );
        assert_eq!(
            sql("delete from t using u where t.a = u.a and u.b = $2"),
            "SELECT 1 FROM t, u WHERE t.a = u.a AND u.b = $1"
        );
        assert_eq!(sql("select * from t where a = $1 for update"), "SELECT * FROM t WHERE a = $1");
        assert_eq!(
            sql("with x as (select 1) update t set a = $1 where b = $2 and c = $2"),
            "WITH x AS (SELECT 1) SELECT 1 FROM t WHERE b = $1 AND c = $1"
        );
        assert_eq!(sql("prepare p (int) as select * from t where a = $1"), "SELECT * FROM t WHERE a = $1");
    }

    #[test]
    fn typed_constants_become_casts() {
        let found =
            explainable("select * from t where created > now() - interval $1 and d = date $2").expect("explainable");
        assert_eq!(found.sql, "SELECT * FROM t WHERE created > now() - $1::INTERVAL AND d = $2::DATE");
        assert_eq!(found.parameters, 2);
    }

    #[test]
    fn anything_but_one_reading_or_changing_statement_is_refused() {
        for text in [
            "",
            "select 1; drop table t",
            "drop table t",
            "prepare p as insert into t values ($1)",
            "insert into t values ($1)",
            "explain analyze delete from t",
            "with gone as (delete from t returning *) select * from gone",
            "select * into other from t",
            "this is no SQL",
            "select 'open",
            "select 1\0",
        ] {
            assert!(explainable(text).is_err(), "{text}");
        }
        assert!(explainable(&format!("select {}", "1+".repeat(LONGEST_STATEMENT))).is_err());
    }

    #[test]
    fn words_are_found_in_every_notation_and_what_hides_them_is_refused() {
        let text = r#"SELECT t.Evil, "Quo""ted".x FROM a.t AS t WHERE (t).f = Äb($1) AND c = 'string'"#;
        let found = words(text).expect("words");
        for word in ["evil", "Quo\"ted", "a", "t", "f", "äb", "Äb"] {
            assert!(found.iter().any(|known| known == word), "{word}: {found:?}");
        }
        assert!(!found.iter().any(|word| word == "string"));
        for text in
            ["select 1 operator (evil.+) 2", r#"select U&"\0065vil"(1)"#, &format!("select {}(1)", "f".repeat(64))]
        {
            let found = words(text);
            assert!(
                found.is_err() || !explainable(text).is_ok_and(|found| found.sql.contains("U&")),
                "{text}: {found:?}"
            );
        }
        assert!(words("select 1 operator (evil.+) 2").is_err());
    }

    #[test]
    fn deeply_nested_text_is_refused_and_does_not_overflow() {
        assert!(explainable(&format!("select {}1{}", "(".repeat(9_000), ")".repeat(9_000))).is_err());
    }
}
