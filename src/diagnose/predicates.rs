//! The roles that columns play in a statement: compared for equality, joined, bounded, sorted by, or hidden in an
//! expression that no plain index serves.

mod finder;

use std::ops::ControlFlow;

use sqlparser::ast::{Distinct, Expr, GroupByExpr, Query, SelectItem, SetExpr, Statement, visit_expressions};

use super::explainable::parse;
use super::looked::StatementKind;

/// A column compared for equality with values.
#[derive(Clone, Debug, PartialEq)]
pub struct Equality {
    /// Column.
    pub column: String,
    /// Number of values it is compared with (1 for `=`).
    pub values: f64,
}

/// A column compared with a bound.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Range {
    /// Column.
    pub column: String,
    /// Has a lower bound.
    pub lower: bool,
    /// Has an upper bound.
    pub upper: bool,
}

/// One use of one table, with the roles of its columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TablePredicates {
    /// Schema, when it was written.
    pub schema: Option<String>,
    /// Table.
    pub table: String,
    /// The name it goes by in the statement.
    pub alias: String,
    /// Columns compared with values.
    pub equality: Vec<Equality>,
    /// Columns compared with a column of another table.
    pub joins: Vec<String>,
    /// Columns compared with bounds.
    pub ranges: Vec<Range>,
    /// First column of an ORDER BY that a LIMIT follows, when an index can give that order.
    pub sort: Option<String>,
    /// Conditions that no plain index serves.
    pub other_conditions: usize,
    /// Patterns that keep an index from being used, for people; without literals.
    pub inefficient: Vec<String>,
}

/// What a statement asks of its tables.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Predicates {
    /// What the statement does.
    pub kind: StatementKind,
    /// Uses of tables, in order of appearance.
    pub tables: Vec<TablePredicates>,
    /// True when the statement returns or changes exactly the rows that its conditions on its one table leave over, so
    /// that rows per execution measure their selectivity.
    pub returns_matches: bool,
    /// True when it reads one table, filtered only by what is listed, and stops after a LIMIT.
    pub stops_early: bool,
}

/// Finds the roles of all columns. `has_column(schema, table, column)` settles to which table of a join an unqualified
/// column belongs; without an answer such a column has no role.
///
/// # Errors
/// Why the statement cannot be analysed, for people.
pub fn predicates(text: &str, has_column: &dyn Fn(Option<&str>, &str, &str) -> bool) -> Result<Predicates, String> {
    let statement = parse(text)?;
    let tables = finder::find(&statement, has_column);
    let mut result = Predicates { tables, ..Predicates::default() };
    (result.kind, result.returns_matches, result.stops_early) = match &statement {
        Statement::Query(query) => {
            let simple = plain_select(query);
            let kind = match query.body.as_ref() {
                SetExpr::Update(_) => StatementKind::Update,
                SetExpr::Delete(_) => StatementKind::Delete,
                _ => StatementKind::Select,
            };
            (kind, simple && !is_limited(query), simple && is_limited(query))
        }
        Statement::Update(_) => (StatementKind::Update, true, false),
        _ => (StatementKind::Delete, true, false),
    };
    let one_table = result.tables.len() == 1 && result.tables[0].joins.is_empty();
    result.returns_matches &= one_table;
    result.stops_early &= one_table;
    Ok(result)
}

fn is_limited(query: &Query) -> bool {
    query.limit_clause.is_some() || query.fetch.is_some()
}

/// One SELECT without grouping, DISTINCT, set operations or functions that fold rows.
fn plain_select(query: &Query) -> bool {
    let SetExpr::Select(select) = query.body.as_ref() else { return false };
    let ungrouped = matches!(&select.group_by, GroupByExpr::Expressions(list, _) if list.is_empty());
    let folds = select.projection.iter().any(|item| match item {
        SelectItem::UnnamedExpr(expression) | SelectItem::ExprWithAlias { expr: expression, .. } => {
            let found = visit_expressions(expression, |inner| match inner {
                Expr::Function(_) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            });
            found.is_break()
        }
        _ => false,
    });
    query.with.is_none()
        && ungrouped
        && !folds
        && select.having.is_none()
        && !matches!(select.distinct, Some(Distinct::Distinct | Distinct::On(_)))
}

#[cfg(test)]
mod tests;
