//! Verdict and observations to ranked causes and facts: which statements grew, why, and what would help.
//!
//! Pure: everything that is looked at comes in as [`looked::Looked`].

pub mod advise;
pub mod estimate;
pub mod explain;
pub mod explainable;
pub mod facts;
pub mod growth;
pub mod indexes;
pub mod looked;
pub mod predicates;
pub mod safe;
pub mod text;

use crate::api::{Evidence, IndexCandidate, RootCause, RootCauseKind, StatementEvidence};

pub use facts::Facts;
pub use looked::{Looked, LookedStatement, StatementGrowth};

use looked::LoadFacts;

use advise::{Advice, Verdict, advise, plan_node};
use growth::{Ranked, further_ms, rank};
use text::{printable, redact};

/// Statements that are named in a cause.
const STATEMENTS: usize = 5;
/// Least share of the growth that makes a statement worth a fix of its own.
const WORTH_FIXING: f64 = 0.10;
/// Share of the growth from which one statement is the cause.
const SINGLE_CAUSE: f64 = 0.5;
/// A statement is slower, not noisy, from this ratio of means on.
const SLOWER: f64 = 1.5;
/// A statement runs more often from this ratio of rates on.
const OFTENER: f64 = 1.5;
/// Sessions that wait for locks from which they, when they are most, are the cause rather than a missing index.
const FEWEST_WAITING: i64 = 2;
/// Name of the evidence that says what could not be seen, and which right would show it.
pub const NOT_VISIBLE: &str = "not visible";
/// Most pieces of evidence (limit of the kind).
const EVIDENCE: usize = 32;

/// Why an incident happened, and the facts for `when`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Diagnosis {
    /// For the Anomaly.
    pub root_cause: RootCause,
    /// For conditions.
    pub facts: Facts,
}

/// Finds the cause.
///
/// | what is seen | kind |
/// |---|---|
/// | a statement with ≥ 10 % of the growth, ≥ 1.5 × slower or more frequent, scans a table, and an index is accepted for it | `MissingIndex` |
/// | more executions added more time than slower ones, ≥ 1.5 × as many | `MoreCalls` |
/// | the first statement is ≥ 1.5 × slower, or ran for the first time | `SlowerStatement` |
/// | anything else | `Unknown` |
///
/// No index is advised while most active sessions of the database wait for locks of others: time that passes in a queue
/// says nothing about a scan.
///
/// No literal of a statement is in the result: texts and conditions are reduced to their form.
pub fn diagnose(looked: &Looked) -> Diagnosis {
    let ranked = rank(&looked.statements);
    let mut notes = Notes::default();
    let mut advice: Option<(Ranked<'_>, Advice)> = None;
    let mut statements = Vec::new();
    let piled_up =
        looked.load.waiting_for_locks >= FEWEST_WAITING && 2 * looked.load.waiting_for_locks > looked.load.active_here;
    if piled_up {
        let LoadFacts { waiting_for_locks, active_here, .. } = looked.load;
        let reason = format!(
            "{waiting_for_locks} of {active_here} active sessions wait for locks of others: an index does not help them"
        );
        notes.add("locks", &reason);
        notes.refusals.push(reason);
    }
    for (position, one) in ranked.iter().enumerate().take(STATEMENTS) {
        let found = examine(one, looked, &mut notes);
        if advice.is_none() && !piled_up && one.share >= WORTH_FIXING && has_changed(&one.statement.growth) {
            advice = found.map(|found| (*one, found));
        }
        if one.grown_ms > 0.0 || position == 0 {
            statements.push(evidence_of(one, looked));
        }
    }
    let (invalid, duplicate) = indexes::notes(looked, &mut notes);

    let mut facts = Facts::default();
    facts.set(facts::INVALID_INDEX, invalid);
    facts.set(facts::DUPLICATE_INDEX, duplicate);
    facts.set(facts::INEFFICIENT_PATTERN, notes.inefficient);
    facts.set(facts::SINGLE_QUERY_CAUSE, ranked.first().is_some_and(|first| first.share >= SINGLE_CAUSE));
    facts.set(facts::MISSING_INDEX, advice.is_some());

    let mut safe = false;
    if let Some((_, advice)) = &advice {
        notes.add(
            "index",
            format!("share of rows that it fetches: {:.4} % ({})", advice.selectivity * 100.0, advice.source),
        );
        let table = looked.table(Some(&advice.candidate.schema), &advice.candidate.table);
        let checks = table.map(|table| safe::checks(&advice.candidate, table, &looked.load)).unwrap_or_default();
        safe = !checks.is_empty() && safe::is_safe(&checks);
        for check in checks {
            let verdict = if check.holds { "holds" } else { "fails" };
            notes.add(&format!("safe: {}", check.name), format!("{verdict}: {}", check.reason));
        }
    }
    facts.set(facts::SAFE, safe);
    let fixable = advice.is_some() && safe;
    facts.set(facts::NO_FIX_AVAILABLE, !fixable);
    if !fixable {
        let reason = match &advice {
            Some(_) => "the index is missing, but building it now is not safe".to_owned(),
            None => notes.refusals.first().cloned().unwrap_or_else(|| "no missing index was found".into()),
        };
        notes.first(facts::NO_FIX_AVAILABLE, &reason);
    }
    for missing in &looked.unavailable {
        notes.add(NOT_VISIBLE, missing.clone());
    }

    let (kind, summary) = cause(&ranked, advice.as_ref(), &notes);
    let root_cause = RootCause {
        kind,
        summary: printable(&summary, 512),
        statements,
        // What is measured afterwards is the statement that the index is for, which need not be the one that grew most.
        missing_index: advice.map(|(one, advice)| IndexCandidate {
            query_id: one.statement.growth.query_id.to_string(),
            statement_ms: Some(one.statement.growth.mean_ms),
            ..advice.candidate
        }),
        facts: facts.to_evidence(),
        evidence: notes.evidence,
        looked: None,
    };
    Diagnosis { root_cause, facts }
}

/// What is found on the way, in the order in which it is found.
#[derive(Default)]
struct Notes {
    evidence: Vec<Evidence>,
    /// Why no index is advised, most important first.
    refusals: Vec<String>,
    inefficient: bool,
}

impl Notes {
    fn add(&mut self, name: &str, value: impl AsRef<str>) {
        if self.evidence.len() < EVIDENCE {
            let entry = Evidence { name: printable(name, 128), value: printable(value.as_ref(), 1024) };
            if !self.evidence.contains(&entry) {
                self.evidence.push(entry);
            }
        }
    }

    fn first(&mut self, name: &str, value: &str) {
        self.add(name, value);
        if let Some(last) = self.evidence.pop() {
            self.evidence.insert(0, last);
        }
    }
}

/// Index advice for one statement; what speaks against it is noted.
fn examine(ranked: &Ranked<'_>, looked: &Looked, notes: &mut Notes) -> Option<Advice> {
    let statement = ranked.statement;
    let name = format!("statement {}", statement.growth.query_id);
    let has_column = |schema: Option<&str>, table: &str, column: &str| {
        looked.table(schema, table).is_some_and(|table| table.column(column).is_some())
    };
    let found = match predicates::predicates(&statement.text, &has_column) {
        Ok(found) => found,
        Err(reason) => {
            notes.refusals.push(format!("{name}: {reason}"));
            notes.add(&name, reason);
            return None;
        }
    };
    for table in &found.tables {
        for pattern in &table.inefficient {
            notes.inefficient = true;
            notes.add("inefficient pattern", format!("{name}: {pattern} of table {}", table.table));
        }
    }
    if let Err(reason) = &statement.plan {
        notes.refusals.push(format!("{name} has no plan: {reason}"));
        notes.add(&name, format!("no plan: {reason}"));
        return None;
    }
    let mut advice: Option<Advice> = None;
    for verdict in advise(statement, &found, looked) {
        match verdict {
            Verdict::Accepted(found) if advice.is_none() => advice = Some(*found),
            Verdict::Accepted(_) => {}
            Verdict::Refused(reason) => {
                notes.refusals.push(reason.clone());
                notes.add(&format!("{name}: no index"), reason);
            }
        }
    }
    advice
}

fn evidence_of(ranked: &Ranked<'_>, looked: &Looked) -> StatementEvidence {
    let LookedStatement { growth, text, plan, .. } = ranked.statement;
    let node = plan.as_ref().ok().and_then(|plan| {
        let scans = plan.scans();
        scans.first().map(|scan| plan_node(scan, looked.table(Some(&scan.node.schema), &scan.node.relation)))
    });
    StatementEvidence {
        query_id: growth.query_id.to_string(),
        text: printable(&redact(text), 1024),
        mean_before_ms: growth.mean_before_ms,
        mean_now_ms: growth.mean_ms,
        calls_per_second: growth.calls_per_second,
        share: ranked.share,
        rows_per_call: growth.rows_per_call,
        node,
    }
}

/// Clearly slower, clearly more often, or new: a statement that was always so explains no incident.
fn has_changed(growth: &StatementGrowth) -> bool {
    let slower = growth.mean_before_ms.is_none_or(|before| growth.mean_ms >= SLOWER * before);
    slower || growth.calls_per_second_before.is_some_and(|before| growth.calls_per_second >= OFTENER * before)
}

/// Kind and sentence.
fn cause(ranked: &[Ranked<'_>], advice: Option<&(Ranked<'_>, Advice)>, notes: &Notes) -> (RootCauseKind, String) {
    if let Some((one, advice)) = advice {
        let index = &advice.candidate;
        let table = printable(&format!("{}.{}", index.schema, index.table), 128);
        let columns = printable(&index.columns.join(", "), 128);
        let summary = format!(
            "No index on {table} ({columns}): {} reads {} rows to return {}; {}",
            advice.node.node_type,
            count(advice.node.rows_read),
            count(one.statement.growth.rows_per_call),
            sentence(one),
        );
        return (RootCauseKind::MissingIndex, summary);
    }
    let Some(first) = ranked.first() else {
        return (RootCauseKind::Unknown, "Unknown: no statement's figures before and after the onset are known".into());
    };
    let slower: f64 = ranked.iter().map(|one| one.grown_ms).sum();
    let most = ranked.iter().max_by(|a, b| further_ms(&a.statement.growth).total_cmp(&further_ms(&b.statement.growth)));
    let further: f64 = ranked.iter().map(|one| further_ms(&one.statement.growth)).sum();
    if let Some(most) = most
        && further > slower
        && let Some(before) = most.statement.growth.calls_per_second_before
        && most.statement.growth.calls_per_second >= OFTENER * before
    {
        let growth = &most.statement.growth;
        let text = printable(&redact(&most.statement.text), 160);
        let (now, mean) = (growth.calls_per_second, growth.mean_ms);
        let summary =
            format!("More executions: {now:.1} instead of {before:.1} per second at {mean:.2} ms each: {text}");
        return (RootCauseKind::MoreCalls, summary);
    }
    let ratio = first.statement.growth.mean_before_ms.map(|before| first.statement.growth.mean_ms / before.max(1e-6));
    if first.grown_ms > 0.0 && ratio.is_none_or(|ratio| ratio >= SLOWER) {
        let why = notes.refusals.first().map(|reason| format!("; no missing index: {reason}")).unwrap_or_default();
        return (RootCauseKind::SlowerStatement, format!("Slower statement: {}{why}", sentence(first)));
    }
    (RootCauseKind::Unknown, "Unknown: no statement became clearly slower or ran clearly more often".into())
}

fn sentence(one: &Ranked<'_>) -> String {
    let growth = &one.statement.growth;
    let text = printable(&redact(&one.statement.text), 160);
    let before =
        growth.mean_before_ms.map_or_else(|| "(new)".to_owned(), |before| format!("instead of {before:.2} ms"));
    format!("{:.2} ms {before} each, {:.0} % of the growth: {text}", growth.mean_ms, one.share * 100.0)
}

fn count(rows: f64) -> String {
    if rows < 10.0 && rows.fract() > 0.0 { format!("{rows:.1}") } else { format!("{rows:.0}") }
}

#[cfg(test)]
mod tests;
