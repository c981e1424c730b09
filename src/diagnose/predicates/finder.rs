//! The walk over a parsed statement that gives columns their roles.

use std::collections::HashSet;
use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, Expr, Ident, Join, JoinConstraint, JoinOperator, ObjectName, OrderByExpr, OrderByKind, OrderBySort,
    Query, Select, SetExpr, Statement, TableFactor, TableWithJoins, Value, Visit, Visitor, visit_expressions,
};

use super::{Equality, Range, TablePredicates, is_limited};
use crate::diagnose::explainable::sources;

/// Elements assumed in an array whose length is not known: `DEFAULT_ARRAY_LENGTH` of PostgreSQL's `selfuncs.c`.
const UNKNOWN_LIST: f64 = 10.0;

/// Uses of tables in a statement, with the roles of their columns.
pub(super) fn find(
    statement: &Statement,
    has_column: &dyn Fn(Option<&str>, &str, &str) -> bool,
) -> Vec<TablePredicates> {
    let mut finder = Finder { has_column, tables: Vec::new(), common: HashSet::new(), scopes: Vec::new() };
    let mut top = Scope::default();
    if let Some((tables, selection)) = sources(statement) {
        finder.add_tables(&mut top, &tables);
        finder.scopes.push(top);
        finder.conditions(selection);
    }
    // The walk is never broken off.
    let _ = statement.visit(&mut finder);
    finder.tables
}

/// A name as PostgreSQL folds it.
fn folded(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_ascii_lowercase() }
}

/// The tables that names can mean inside one SELECT: indices into `Finder::tables`, and names of derived tables.
#[derive(Default)]
struct Scope {
    tables: Vec<usize>,
    derived: HashSet<String>,
}

struct Finder<'a> {
    has_column: &'a dyn Fn(Option<&str>, &str, &str) -> bool,
    tables: Vec<TablePredicates>,
    common: HashSet<String>,
    scopes: Vec<Scope>,
}

/// A column of a known table.
type Column = (usize, String);

impl Visitor for Finder<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        for table in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.common.insert(folded(&table.alias.name));
        }
        let mut selects = Vec::new();
        flatten(&query.body, &mut selects);
        let mut scope = Scope::default();
        for select in &selects {
            self.add_tables(&mut scope, &select.from.iter().collect::<Vec<_>>());
        }
        if let SetExpr::Update(statement) | SetExpr::Delete(statement) = query.body.as_ref()
            && let Some((tables, selection)) = sources(statement)
        {
            self.add_tables(&mut scope, &tables);
            self.scopes.push(scope);
            self.conditions(selection);
            return ControlFlow::Continue(());
        }
        self.scopes.push(scope);
        for select in &selects {
            self.joined(&select.from);
            self.conditions(select.selection.as_ref());
        }
        if selects.len() == 1 && is_limited(query) {
            self.sorted(query);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.scopes.pop();
        ControlFlow::Continue(())
    }
}

fn flatten<'a>(body: &'a SetExpr, found: &mut Vec<&'a Select>) {
    match body {
        SetExpr::Select(select) => found.push(select),
        SetExpr::SetOperation { left, right, .. } => {
            flatten(left, found);
            flatten(right, found);
        }
        _ => {}
    }
}

impl Finder<'_> {
    fn add_tables(&mut self, scope: &mut Scope, tables: &[&TableWithJoins]) {
        for table in tables {
            self.add_factor(scope, &table.relation);
            for join in &table.joins {
                self.add_factor(scope, &join.relation);
            }
        }
    }

    fn add_factor(&mut self, scope: &mut Scope, factor: &TableFactor) {
        match factor {
            TableFactor::Table { name, alias, args: None, .. } => {
                let parts: Vec<String> = name.0.iter().filter_map(|part| part.as_ident()).map(folded).collect();
                let Some(table) = parts.last().cloned() else { return };
                let schema = (parts.len() > 1).then(|| parts[parts.len() - 2].clone());
                let alias = alias.as_ref().map_or_else(|| table.clone(), |alias| folded(&alias.name));
                if schema.is_none() && self.common.contains(&table) {
                    scope.derived.insert(alias);
                    return;
                }
                scope.tables.push(self.tables.len());
                self.tables.push(TablePredicates { schema, table, alias, ..TablePredicates::default() });
            }
            TableFactor::NestedJoin { table_with_joins, .. } => self.add_tables(scope, &[table_with_joins]),
            TableFactor::Table { alias: Some(alias), .. }
            | TableFactor::Derived { alias: Some(alias), .. }
            | TableFactor::Function { alias: Some(alias), .. } => {
                scope.derived.insert(folded(&alias.name));
            }
            _ => {}
        }
    }

    fn joined(&mut self, from: &[TableWithJoins]) {
        for table in from {
            let mut left = Vec::new();
            names_of(&table.relation, &mut left);
            let nested = match &table.relation {
                TableFactor::NestedJoin { table_with_joins, .. } => Some(table_with_joins.as_ref()),
                _ => None,
            };
            if let Some(nested) = nested {
                self.joined(std::slice::from_ref(nested));
            }
            for Join { join_operator, relation, .. } in &table.joins {
                let mut right = Vec::new();
                names_of(relation, &mut right);
                // An outer join keeps every row of one side, whatever its condition says of it: no index on that side
                // spares reading it.
                let kept = match join_operator {
                    JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => self.uses(&left),
                    JoinOperator::Right(_) | JoinOperator::RightOuter(_) => self.uses(&right),
                    _ => Vec::new(),
                };
                left.append(&mut right);
                let (JoinOperator::Join(constraint)
                | JoinOperator::Inner(constraint)
                | JoinOperator::Left(constraint)
                | JoinOperator::LeftOuter(constraint)
                | JoinOperator::Right(constraint)
                | JoinOperator::RightOuter(constraint)) = join_operator
                else {
                    continue;
                };
                match constraint {
                    JoinConstraint::On(condition) => self.conditions(Some(condition)),
                    JoinConstraint::Using(columns) => self.joined_using(columns),
                    _ => {}
                }
                for (index, before) in kept {
                    self.tables[index] = before;
                }
            }
        }
    }

    /// The uses of these names in the current scope, as they are now.
    fn uses(&self, names: &[String]) -> Vec<(usize, TablePredicates)> {
        let tables = self.scopes.last().map(|scope| scope.tables.as_slice()).unwrap_or_default();
        let named = tables.iter().filter(|index| names.contains(&self.tables[**index].alias));
        named.map(|index| (*index, self.tables[*index].clone())).collect()
    }

    fn joined_using(&mut self, columns: &[ObjectName]) {
        let Some(scope) = self.scopes.last() else { return };
        let tables = scope.tables.clone();
        for name in columns.iter().filter_map(|column| column.0.last()?.as_ident()) {
            let column = folded(name);
            for index in &tables {
                let table = &mut self.tables[*index];
                if (self.has_column)(table.schema.as_deref(), &table.table, &column) {
                    push_new(&mut table.joins, column.clone());
                }
            }
        }
    }

    fn sorted(&mut self, query: &Query) {
        let Some(OrderByKind::Expressions(list)) = query.order_by.as_ref().map(|order| &order.kind) else { return };
        let Some(OrderByExpr { expr, options, .. }) = list.first() else { return };
        // An index read forwards or backwards gives NULLs where PostgreSQL puts them by default, nowhere else.
        let descending = options.sort == Some(OrderBySort::Desc);
        if matches!(options.sort, Some(OrderBySort::Using(_)))
            || options.nulls_first.is_some_and(|first| first != descending)
        {
            return;
        }
        if let Some((table, column)) = self.column(expr) {
            self.tables[table].sort = Some(column);
        }
    }

    fn conditions(&mut self, condition: Option<&Expr>) {
        match condition {
            None => {}
            Some(Expr::Nested(inner)) => self.conditions(Some(inner)),
            Some(Expr::BinaryOp { left, op: BinaryOperator::And, right }) => {
                self.conditions(Some(left));
                self.conditions(Some(right));
            }
            Some(condition) => self.condition(condition),
        }
    }

    fn condition(&mut self, condition: &Expr) {
        match condition {
            Expr::BinaryOp { left, op, right } if is_comparison(op) => self.comparison(left, op, right),
            Expr::BinaryOp { op: BinaryOperator::Or, .. } => match self.alternatives(condition) {
                Some((table, column, values)) => self.equal(table, column, values),
                None => self.other(condition),
            },
            Expr::InList { expr, list, negated: false } if list.iter().all(|value| self.is_value(value)) => {
                self.with_column(expr, condition, |finder, (table, column)| {
                    finder.equal(table, column, list.len() as f64);
                });
            }
            Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } if self.is_value(right) => {
                self.with_column(left, condition, |finder, (table, column)| finder.equal(table, column, UNKNOWN_LIST));
            }
            Expr::InSubquery { expr, negated: false, .. } => {
                self.with_column(expr, condition, |finder, (table, column)| {
                    push_new(&mut finder.tables[table].joins, column);
                });
            }
            Expr::Between { expr, negated: false, low, high } if self.is_value(low) && self.is_value(high) => {
                self.with_column(expr, condition, |finder, (table, column)| finder.bound(table, column, true, true));
            }
            Expr::Like { expr, pattern, negated: false, .. } | Expr::ILike { expr, pattern, negated: false, .. } => {
                if let (Some((table, column)), true) = (self.column(expr), begins_with_wildcard(pattern)) {
                    self.inefficient(table, format!("LIKE with a leading wildcard on column {column}"));
                }
                self.other(condition);
            }
            Expr::Exists { .. } => {}
            _ => self.other(condition),
        }
    }

    fn comparison(&mut self, left: &Expr, op: &BinaryOperator, right: &Expr) {
        if let (Expr::Tuple(lefts), Expr::Tuple(rights)) = (left, right) {
            // (a, b) = (x, y) is a conjunction; of (a, b) > (x, y) only the first column bounds an index.
            let pairs = if *op == BinaryOperator::Eq { lefts.len() } else { 1 };
            for (left, right) in lefts.iter().zip(rights).take(pairs) {
                self.comparison(left, op, right);
            }
            return;
        }
        match (self.column(left), self.column(right)) {
            (Some(one), Some(other)) => {
                if *op == BinaryOperator::Eq && one.0 != other.0 {
                    push_new(&mut self.tables[one.0].joins, one.1);
                    push_new(&mut self.tables[other.0].joins, other.1);
                } else {
                    self.tables[one.0].other_conditions += 1;
                    self.tables[other.0].other_conditions += 1;
                }
            }
            (Some((table, column)), None) => self.compared(table, column, op, right, false),
            (None, Some((table, column))) => self.compared(table, column, op, left, true),
            (None, None) => {
                for side in [left, right] {
                    if let Some((table, column)) = self.column_inside(side) {
                        self.inefficient(table, format!("column {column} is compared inside an expression"));
                    }
                }
                self.other(left);
                self.other(right);
            }
        }
    }

    fn compared(&mut self, table: usize, column: String, op: &BinaryOperator, value: &Expr, swapped: bool) {
        let join = !self.is_value(value);
        match op {
            // A value computed from another table's columns can be looked up too, once per row of that table.
            BinaryOperator::Eq if join && self.column_inside(value).is_none_or(|(other, _)| other != table) => {
                push_new(&mut self.tables[table].joins, column);
            }
            BinaryOperator::Eq if !join => self.equal(table, column, 1.0),
            BinaryOperator::Lt | BinaryOperator::LtEq if !join => self.bound(table, column, swapped, !swapped),
            BinaryOperator::Gt | BinaryOperator::GtEq if !join => self.bound(table, column, !swapped, swapped),
            _ => self.tables[table].other_conditions += 1,
        }
    }

    /// `a = $1 or a = $2`: one column, several values.
    fn alternatives(&self, condition: &Expr) -> Option<(usize, String, f64)> {
        match condition {
            Expr::Nested(inner) => self.alternatives(inner),
            Expr::BinaryOp { left, op: BinaryOperator::Or, right } => {
                let (one, other) = (self.alternatives(left)?, self.alternatives(right)?);
                if (one.0, &one.1) == (other.0, &other.1) { Some((one.0, one.1, one.2 + other.2)) } else { None }
            }
            Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => match (self.column(left), self.column(right)) {
                (Some((table, column)), None) if self.is_value(right) => Some((table, column, 1.0)),
                (None, Some((table, column))) if self.is_value(left) => Some((table, column, 1.0)),
                _ => None,
            },
            _ => None,
        }
    }

    fn with_column(&mut self, expr: &Expr, condition: &Expr, found: impl FnOnce(&mut Self, Column)) {
        if let Some(column) = self.column(expr) {
            found(self, column);
            return;
        }
        if let Some((table, column)) = self.column_inside(expr) {
            self.inefficient(table, format!("column {column} is compared inside an expression"));
        }
        self.other(condition);
    }

    fn equal(&mut self, table: usize, column: String, values: f64) {
        let equality = &mut self.tables[table].equality;
        if !equality.iter().any(|known| known.column == column) {
            equality.push(Equality { column, values });
        }
    }

    fn bound(&mut self, table: usize, column: String, lower: bool, upper: bool) {
        let ranges = &mut self.tables[table].ranges;
        if let Some(known) = ranges.iter_mut().find(|known| known.column == column) {
            known.lower |= lower;
            known.upper |= upper;
        } else {
            ranges.push(Range { column, lower, upper });
        }
    }

    fn inefficient(&mut self, table: usize, pattern: String) {
        push_new(&mut self.tables[table].inefficient, pattern);
    }

    /// Counts a condition that no plain index serves, for every table that it mentions.
    fn other(&mut self, condition: &Expr) {
        let mut mentioned: Vec<usize> = self.columns_inside(condition).into_iter().map(|(table, _)| table).collect();
        mentioned.sort_unstable();
        mentioned.dedup();
        for table in mentioned {
            self.tables[table].other_conditions += 1;
        }
    }

    /// The column that an expression is, when it is nothing else.
    fn column(&self, expression: &Expr) -> Option<Column> {
        match expression {
            Expr::Nested(inner) => self.column(inner),
            Expr::Identifier(name) => self.resolve(None, &folded(name)),
            Expr::CompoundIdentifier(parts) => {
                let (name, qualifiers) = parts.split_last()?;
                self.resolve(Some(&folded(qualifiers.last()?)), &folded(name))
            }
            _ => None,
        }
    }

    fn column_inside(&self, expression: &Expr) -> Option<Column> {
        self.columns_inside(expression).into_iter().next()
    }

    fn columns_inside(&self, expression: &Expr) -> Vec<Column> {
        let mut found = Vec::new();
        let _ = visit_expressions(expression, |inner| {
            if matches!(inner, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) {
                found.extend(self.column(inner));
            }
            ControlFlow::<()>::Continue(())
        });
        found
    }

    /// No column of any table in sight: a parameter, a literal, a function of these, an uncorrelated subquery.
    fn is_value(&self, expression: &Expr) -> bool {
        self.columns_inside(expression).is_empty()
    }

    fn resolve(&self, qualifier: Option<&str>, column: &str) -> Option<Column> {
        for scope in self.scopes.iter().rev() {
            if let Some(qualifier) = qualifier {
                if scope.derived.contains(qualifier) {
                    return None;
                }
                if let Some(index) = scope.tables.iter().find(|index| self.tables[**index].alias == qualifier) {
                    return Some((*index, column.to_owned()));
                }
                continue;
            }
            let owns = |index: &&usize| {
                let table = &self.tables[**index];
                (self.has_column)(table.schema.as_deref(), &table.table, column)
            };
            let mut owners = scope.tables.iter().filter(owns);
            match (owners.next(), owners.next()) {
                (Some(index), None) => return Some((*index, column.to_owned())),
                (Some(_), Some(_)) => return None,
                _ => {}
            }
            // With one table and nothing else in the FROM there is no choice, whether or not its columns are known.
            if scope.tables.len() == 1 && scope.derived.is_empty() && self.scopes.len() == 1 {
                return Some((scope.tables[0], column.to_owned()));
            }
        }
        None
    }
}

/// The names by which the tables of a part of a FROM go.
fn names_of(factor: &TableFactor, found: &mut Vec<String>) {
    match factor {
        TableFactor::Table { alias: Some(alias), .. } => found.push(folded(&alias.name)),
        TableFactor::Table { name, .. } => found.extend(name.0.last().and_then(|part| part.as_ident()).map(folded)),
        TableFactor::NestedJoin { table_with_joins, .. } => {
            names_of(&table_with_joins.relation, found);
            for join in &table_with_joins.joins {
                names_of(&join.relation, found);
            }
        }
        _ => {}
    }
}

fn is_comparison(op: &BinaryOperator) -> bool {
    matches!(
        op,
        BinaryOperator::Eq | BinaryOperator::Lt | BinaryOperator::LtEq | BinaryOperator::Gt | BinaryOperator::GtEq
    )
}

fn begins_with_wildcard(pattern: &Expr) -> bool {
    match pattern {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => text.starts_with(['%', '_']),
            _ => false,
        },
        Expr::BinaryOp { left, op: BinaryOperator::StringConcat, .. } => begins_with_wildcard(left),
        Expr::Cast { expr, .. } | Expr::Nested(expr) => begins_with_wildcard(expr),
        _ => false,
    }
}

fn push_new<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}
