//! Index candidates: from the roles of columns, the plan and the statistics to an index that is worth building, or to
//! the reason why there is none.

use crate::api::{IndexCandidate, PlanNode};

use super::estimate::{CLOSED_RANGE, OPEN_RANGE, build_seconds, equality_selectivity, index_bytes, index_cost};
use super::explain::{ExplainNode, Scan};
use super::looked::{ColumnFacts, IndexFacts, Looked, LookedStatement, TableFacts};
use super::predicates::{Predicates, TablePredicates};
use super::text::printable;

/// Least share of a plan's cost that the scan has to carry.
pub const SCAN_SHARE: f64 = 0.5;
/// Fewest rows of a table: below, reading all of it is as fast.
pub const TABLE_ROWS: f64 = 500.0;
/// Greatest share of the table's rows that the index may have to fetch.
pub const SELECTIVITY: f64 = 0.10;
/// Least gain, as share of the statement's cost, and in the planner's units (dexter's rule, confirmed by measurement:
/// no wrong advice in 20 statements).
pub const GAIN: f64 = 0.5;
/// Least saving in the planner's units.
pub const SAVING: f64 = 100.0;
/// A further column has to save this share of the narrower index's cost.
pub const WIDER: f64 = 0.10;
/// And as many units as 125 reads of a random page: what is cheaper than that needs no second column.
pub const WIDER_SAVING: f64 = 500.0;
/// A table with this many indexes gets no further one.
pub const INDEXES: usize = 10;
/// Most key columns.
pub const COLUMNS: usize = 3;
/// Widest column in bytes, on average, that becomes a key: a btree entry has at most 2,704.
pub const WIDEST_COLUMN: f64 = 500.0;
/// Rows written per row read from which an index costs more than it gives.
pub const WRITES_PER_READ: i64 = 10;

/// An index that is worth building.
#[derive(Clone, Debug, PartialEq)]
pub struct Advice {
    /// The index.
    pub candidate: IndexCandidate,
    /// The scan that it replaces.
    pub node: PlanNode,
    /// Share of rows that it fetches, 0 to 1.
    pub selectivity: f64,
    /// Where the selectivity is from.
    pub source: String,
}

/// What became of one dear scan.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// An index helps.
    Accepted(Box<Advice>),
    /// None does: the reason, for people.
    Refused(String),
}

/// Whether a node reads a whole table to find some of its rows.
pub fn reads_everything(node: &ExplainNode) -> bool {
    match node.node_type.as_str() {
        "Seq Scan" => true,
        // An index read from end to end for its order only, every row filtered.
        "Index Scan" | "Index Only Scan" => !node.conditioned && node.filter.is_some(),
        _ => false,
    }
}

/// The evidence of a scan.
pub fn plan_node(scan: &Scan<'_>, table: Option<&TableFacts>) -> PlanNode {
    let node = scan.node;
    PlanNode {
        node_type: node.title(),
        relation: printable(&format!("{}.{}", node.schema, node.relation), 140),
        filter: node.filter.clone(),
        rows_read: if reads_everything(node) { table.map_or(scan.rows, |table| table.rows) } else { scan.rows },
        rows_returned: scan.rows,
        cost: scan.cost,
        cost_share: scan.share,
    }
}

/// Judges every dear scan of a statement.
pub fn advise(statement: &LookedStatement, predicates: &Predicates, looked: &Looked) -> Vec<Verdict> {
    let Ok(plan) = &statement.plan else { return Vec::new() };
    let scans = plan.scans();
    // A sort that a LIMIT cuts off is part of reading: an index in that order saves both.
    let sorted = predicates.stops_early && predicates.tables.iter().any(|used| used.sort.is_some());
    let dear = scans.iter().filter(|scan| reads_everything(scan.node) && (sorted || scan.share >= SCAN_SHARE));
    dear.map(|scan| judge(statement, plan, scan, predicates, looked).unwrap_or_else(Verdict::Refused)).collect()
}

fn judge(
    statement: &LookedStatement,
    plan: &ExplainNode,
    scan: &Scan<'_>,
    predicates: &Predicates,
    looked: &Looked,
) -> Result<Verdict, String> {
    let node = scan.node;
    let name = printable(&format!("{}.{}", node.schema, node.relation), 140);
    let table = looked
        .table(Some(&node.schema), &node.relation)
        .ok_or_else(|| format!("{name}: the table could not be looked at"))?;
    fit(table).map_err(|reason| format!("{name}: {reason}"))?;
    let context = Context { statement, predicates, table, scan, total: plan.cost };
    let mut options: Vec<Candidate> = Vec::new();
    for used in predicates.tables.iter().filter(|used| is_use_of(used, node)) {
        options.extend(context.candidates(used));
    }
    if options.is_empty() {
        return Err(format!("{name}: no condition that a plain index on it would serve{}", without_statistics(table)));
    }
    if let Some(covered) = options.iter().find(|option| {
        !option.joined && option.gain >= GAIN && option.selectivity <= SELECTIVITY && serving(table, option).is_some()
    }) {
        let index = serving(table, covered).map(|index| printable(&index.name, 63)).unwrap_or_default();
        return Err(format!("{name}: index {index} on ({}) exists and is not used", covered.list()));
    }
    options.retain(|option| serving(table, option).is_none());
    options.sort_by(|a, b| (a.columns.len()).cmp(&b.columns.len()).then(a.cost.total_cmp(&b.cost)));
    let mut options = options.into_iter();
    let Some(mut best) = options.next() else {
        return Err(format!("{name}: every index that its conditions could use exists"));
    };
    for option in options {
        let wider = option.columns.len() > best.columns.len();
        let saved = best.cost - option.cost;
        if saved > 0.0 && (!wider || (saved >= WIDER * best.cost && saved >= WIDER_SAVING)) {
            best = option;
        }
    }
    if let Some(partial) = table.indexes.iter().find(|index| statement.generic && index.partial && leads(index, &best))
    {
        let index = printable(&partial.name, 63);
        let list = best.list();
        return Err(format!(
            "{name}: index {index} on ({list}) exists for a part of the rows, and a plan without values cannot tell whether \
             the statement asks for these"
        ));
    }
    best.accept(context.scan_cost()).map_err(|reason| format!("{name} ({}): {reason}", best.list()))?;
    let size_bytes = index_bytes(table, &best.columns);
    Ok(Verdict::Accepted(Box::new(Advice {
        candidate: IndexCandidate {
            schema: table.schema.clone(),
            table: table.table.clone(),
            build_seconds: build_seconds(table.bytes, size_bytes),
            size_bytes,
            gain: best.gain,
            table_bytes: table.bytes,
            table_rows: table.rows,
            columns: best.columns,
            ..IndexCandidate::default()
        },
        node: plan_node(scan, Some(table)),
        selectivity: best.selectivity,
        source: best.source,
    })))
}

/// Reasons in the table itself.
fn fit(table: &TableFacts) -> Result<(), String> {
    if table.is_partitioned || table.is_partition {
        return Err("an index on a partitioned table is built per partition, which is not done yet by itself".into());
    }
    if table.rows < TABLE_ROWS {
        return Err(format!("{:.0} rows: below {TABLE_ROWS:.0}, reading all of them is as fast", table.rows.max(0.0)));
    }
    if table.indexes.len() >= INDEXES {
        return Err(format!("it has {} indexes: a table gets at most {INDEXES}", table.indexes.len()));
    }
    if table.rows_written > table.rows_read.saturating_mul(WRITES_PER_READ) {
        return Err(format!(
            "{} rows written against {} read: an index costs more",
            table.rows_written, table.rows_read
        ));
    }
    Ok(())
}

fn without_statistics(table: &TableFacts) -> &'static str {
    if table.statistics_visible {
        ""
    } else {
        " (its column statistics are not visible: ANALYZE, or the grant of SELECT)"
    }
}

/// A plan's alias may carry a number where a name is used twice.
fn is_use_of(used: &TablePredicates, node: &ExplainNode) -> bool {
    let alias = node.alias == used.alias
        || node.alias.strip_prefix(&used.alias).is_some_and(|rest| {
            rest.strip_prefix('_')
                .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
        });
    used.table == node.relation && alias && used.schema.as_ref().is_none_or(|schema| *schema == node.schema)
}

/// The valid index that already serves a candidate.
fn serving<'a>(table: &'a TableFacts, candidate: &Candidate) -> Option<&'a IndexFacts> {
    table.indexes.iter().find(|index| !index.partial && leads(index, candidate))
}

/// Whether a valid index begins with a candidate's columns, those compared for equality in any order.
fn leads(index: &IndexFacts, candidate: &Candidate) -> bool {
    if !index.valid || index.columns.len() < candidate.columns.len() {
        return false;
    }
    let key = &index.columns[..candidate.columns.len()];
    let (free, fixed) = candidate.columns.split_at(candidate.equal);
    let same = |name: &String, column: &Option<String>| column.as_ref() == Some(name);
    match index.method.as_str() {
        "btree" => {
            free.iter().all(|name| key[..candidate.equal].iter().any(|column| same(name, column)))
                && fixed.iter().zip(&key[candidate.equal..]).all(|(name, column)| same(name, column))
        }
        "hash" => index.columns.len() == 1 && candidate.equal == 1 && same(&candidate.columns[0], &key[0]),
        _ => false,
    }
}

/// One possible index with its estimates.
struct Candidate {
    columns: Vec<String>,
    /// Number of leading columns that are compared for equality.
    equal: usize,
    /// Ends with a column that is compared with another table's.
    joined: bool,
    selectivity: f64,
    source: String,
    cost: f64,
    gain: f64,
}

impl Candidate {
    fn list(&self) -> String {
        printable(&self.columns.join(", "), 200)
    }

    fn accept(&self, scan_cost: f64) -> Result<(), String> {
        if self.selectivity > SELECTIVITY {
            return Err(format!(
                "it would leave {:.0} % of the rows ({}): more than {:.0} %",
                self.selectivity * 100.0,
                self.source,
                SELECTIVITY * 100.0
            ));
        }
        if self.gain < GAIN || scan_cost - self.cost < SAVING {
            return Err(format!(
                "it would save {:.0} % of the cost ({:.0} units): at least {:.0} % and {SAVING:.0} units are asked for",
                self.gain * 100.0,
                (scan_cost - self.cost).max(0.0),
                GAIN * 100.0
            ));
        }
        Ok(())
    }
}

struct Context<'a> {
    statement: &'a LookedStatement,
    predicates: &'a Predicates,
    table: &'a TableFacts,
    scan: &'a Scan<'a>,
    total: f64,
}

impl Context<'_> {
    /// What an index can replace. Under a LIMIT the scan is not run to its end: it cannot save more than the whole
    /// statement costs; where the LIMIT cuts off a sort, all of the cost is reading and sorting.
    fn scan_cost(&self) -> f64 {
        if self.predicates.stops_early { self.total } else { self.scan.cost.min(self.total) }
    }

    fn usable(&self, name: &str) -> Option<&ColumnFacts> {
        self.table
            .column(name)
            .filter(|column| column.orderable && column.average_width.unwrap_or_default() <= WIDEST_COLUMN)
    }

    /// Share of rows that all conditions on the table leave over, where it is known better than by column statistics.
    fn overall(&self, used: &TablePredicates) -> Option<(f64, &'static str)> {
        if used.other_conditions > 0 || !used.joins.is_empty() {
            return None;
        }
        if self.predicates.returns_matches {
            let rows = self.statement.growth.rows_per_call.max(1.0);
            return Some(((rows / self.table.rows).min(1.0), "rows per execution as counted by pg_stat_statements"));
        }
        let rows = self.scan.rows.max(1.0);
        (!self.statement.generic)
            .then(|| ((rows / self.table.rows).min(1.0), "plan with the values of a running statement"))
    }

    /// Equality columns (the most selective first), then one joined, bounded or sorted column; every prefix of that.
    fn candidates(&self, used: &TablePredicates) -> Vec<Candidate> {
        let rows = self.table.rows;
        let mut equal: Vec<(&str, f64, f64)> = used
            .equality
            .iter()
            .filter_map(|equality| {
                let column = self.usable(&equality.column)?;
                let one = equality_selectivity(column, rows)?;
                Some((column.name.as_str(), (one * equality.values).min(1.0), equality.values))
            })
            .collect();
        equal.sort_by(|a, b| a.1.total_cmp(&b.1));
        equal.truncate(COLUMNS);
        let mut found = Vec::new();
        for length in 0..=equal.len() {
            let prefix = &equal[..length];
            if length > 0 {
                found.push(self.candidate(used, prefix, None));
            }
            if length < COLUMNS {
                found.extend(self.tails(used).into_iter().map(|tail| self.candidate(used, prefix, Some(tail))));
            }
        }
        found.retain(|candidate: &Candidate| !candidate.columns.is_empty());
        found
    }

    fn tails<'b>(&'b self, used: &'b TablePredicates) -> Vec<Tail<'b>> {
        let mut tails = Vec::new();
        for name in &used.joins {
            let partner = self.scan.partner_rows.zip(self.usable(name));
            if let Some((partner, column)) = partner
                && let Some(one) = equality_selectivity(column, self.table.rows)
            {
                let (selectivity, descents) = ((one * partner).min(1.0), partner.max(1.0));
                tails.push(Tail::Join { name, selectivity, descents });
            }
        }
        for range in used.ranges.iter().filter(|range| self.usable(&range.column).is_some()) {
            // The planner's guess for two bounds makes every index look good. It counts only to choose between columns
            // where it is known how many rows all conditions leave; otherwise the bounds may be far apart.
            let known = self.overall(used).is_some();
            let selectivity = if range.lower && range.upper && known { CLOSED_RANGE } else { OPEN_RANGE };
            tails.push(Tail::Range { name: &range.column, selectivity });
        }
        let sorted = used.sort.as_deref().filter(|name| self.usable(name).is_some());
        if let Some(name) = sorted.filter(|_| self.predicates.stops_early && used.other_conditions == 0) {
            tails.push(Tail::Sort { name });
        }
        tails
    }

    fn candidate(&self, used: &TablePredicates, prefix: &[(&str, f64, f64)], tail: Option<Tail<'_>>) -> Candidate {
        let mut columns: Vec<String> = prefix.iter().map(|(name, ..)| (*name).to_owned()).collect();
        let mut equal = columns.len();
        let prefix_selectivity: f64 = prefix.iter().map(|(_, selectivity, _)| selectivity).product();
        let mut descents: f64 = prefix.iter().map(|(.., values)| values).product();
        let mut selectivity = prefix_selectivity;
        let mut source = "column statistics";
        let joined = matches!(tail, Some(Tail::Join { .. }));
        let filters = used.equality.len() + used.ranges.len();
        let mut covered = prefix.len();
        match tail {
            Some(tail) if columns.iter().any(|column| column == tail.name()) => columns.clear(),
            Some(Tail::Join { name, selectivity: joined, descents: lookups }) => {
                columns.push(name.to_owned());
                equal += 1;
                selectivity *= joined;
                descents *= lookups;
            }
            Some(Tail::Range { name, selectivity: range }) => {
                columns.push(name.to_owned());
                selectivity *= range;
                covered += 1;
                source = "column statistics, and the planner's default for a bound without a value";
            }
            // Reading stops after the LIMIT only if the index decides every condition.
            Some(Tail::Sort { name }) if covered == filters => {
                columns.push(name.to_owned());
                selectivity = selectivity.min(self.statement.growth.rows_per_call.max(1.0) / self.table.rows);
                source = "rows per execution under the LIMIT";
            }
            Some(Tail::Sort { .. }) => columns.clear(),
            None => {}
        }
        let limited = matches!(tail, Some(Tail::Sort { .. }));
        if let Some((overall, from)) = self.overall(used).filter(|_| !limited) {
            if covered == filters {
                (selectivity, source) = (overall, from);
            } else if overall > selectivity {
                selectivity = overall;
            }
        }
        let cost = index_cost(self.table, selectivity * self.table.rows, descents);
        let gain = if self.total > 0.0 { (self.scan_cost() - cost) / self.total } else { 0.0 };
        Candidate { columns, equal, joined, selectivity, source: source.to_owned(), cost, gain: gain.clamp(0.0, 1.0) }
    }
}

/// The last column of a candidate, when it is not one compared with values for equality.
#[derive(Clone, Copy)]
enum Tail<'a> {
    Join { name: &'a str, selectivity: f64, descents: f64 },
    Range { name: &'a str, selectivity: f64 },
    Sort { name: &'a str },
}

impl Tail<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Join { name, .. } | Self::Range { name, .. } | Self::Sort { name } => name,
        }
    }
}
