use super::*;
use crate::diagnose::explain::ExplainNode;
use crate::diagnose::looked::{ColumnFacts, IndexFacts, LoadFacts, StatementKind, TableFacts};

fn column(name: &str, n_distinct: f64) -> ColumnFacts {
    ColumnFacts {
        name: name.into(),
        type_name: "integer".into(),
        n_distinct: Some(n_distinct),
        null_fraction: Some(0.0),
        average_width: Some(4.0),
        most_common_frequency: None,
        longest_bytes: Some(4),
        longest_sampled: None,
        orderable: true,
    }
}

fn index(name: &str, columns: &[&str]) -> IndexFacts {
    IndexFacts {
        name: name.into(),
        columns: columns.iter().map(|name| Some((*name).to_owned())).collect(),
        signature: vec!["1978/0/0".into(); columns.len()],
        valid: true,
        ready: true,
        method: "btree".into(),
        ..IndexFacts::default()
    }
}

fn orders() -> TableFacts {
    TableFacts {
        schema: "shop".into(),
        table: "orders".into(),
        rows: 300_000.0,
        bytes: 30 << 20,
        rows_read: 1_000_000,
        statistics_visible: true,
        columns: vec![
            column("id", -1.0),
            column("customer_id", 10_000.0),
            column("status", 3.0),
            column("created", -0.9),
        ],
        indexes: vec![IndexFacts { unique: true, constraint: true, ..index("orders_pkey", &["id"]) }],
        ..TableFacts::default()
    }
}

fn sequential(rows: f64) -> ExplainNode {
    ExplainNode {
        node_type: "Seq Scan".into(),
        schema: "shop".into(),
        relation: "orders".into(),
        alias: "orders".into(),
        filter: Some("(customer_id = $1)".into()),
        rows,
        cost: 7_500.0,
        ..ExplainNode::default()
    }
}

fn statement(text: &str, rows: f64) -> LookedStatement {
    LookedStatement {
        growth: StatementGrowth {
            query_id: -77,
            mean_before_ms: Some(0.5),
            calls_per_second_before: Some(10.0),
            calls: 600.0,
            mean_ms: 50.0,
            calls_per_second: 10.0,
            rows_per_call: rows,
            total_ms: 30_000.0,
        },
        text: text.into(),
        kind: StatementKind::Select,
        plan: Ok(sequential(rows)),
        generic: true,
    }
}

fn looked() -> Looked {
    Looked {
        statements: vec![statement("select * from orders where customer_id = $1", 30.0)],
        tables: vec![orders()],
        load: LoadFacts { sessions: 10, active_sessions: 4, connection_limit: 97, ..LoadFacts::default() },
        unavailable: Vec::new(),
    }
}

fn changed(change: impl FnOnce(&mut Looked)) -> Diagnosis {
    let mut seen = looked();
    change(&mut seen);
    diagnose(&seen)
}

fn advised(found: &Diagnosis) -> Option<String> {
    found.root_cause.missing_index.as_ref().map(|index| index.columns.join(","))
}

#[test]
fn a_missing_index_is_the_cause_with_its_figures() {
    let found = diagnose(&looked());
    assert_eq!(found.root_cause.kind, RootCauseKind::MissingIndex);
    assert_eq!(advised(&found).as_deref(), Some("customer_id"));
    for part in
        ["shop.orders (customer_id)", "Seq Scan reads 300000 rows to return 30", "50.00 ms instead of 0.50 ms", "100 %"]
    {
        assert!(found.root_cause.summary.contains(part), "{part}: {}", found.root_cause.summary);
    }
    assert!(found.facts.is_true("safe") && found.facts.is_true("single_query_cause"));
    assert_eq!(Facts::from_evidence(&found.root_cause.facts), found.facts);
}

#[test]
fn an_index_that_would_not_help_is_refused_with_the_reason() {
    type Change = fn(&mut Looked);
    let cases: [(&str, Change); 15] = [
        ("for a part of the rows", |seen| {
            seen.tables[0].indexes.push(IndexFacts { partial: true, ..index("part", &["customer_id"]) });
        }),
        // Nothing tells how far the bounds are apart: the rows are folded.
        ("33 % of the rows", |seen| {
            seen.statements = vec![statement("select sum(total) from orders where created between $1 and $2", 1.0)];
        }),
        ("3 of 4 active sessions wait for locks", |seen| {
            (seen.load.active_here, seen.load.waiting_for_locks) = (4, 3);
        }),
        ("below 500", |seen| seen.tables[0].rows = 400.0),
        ("at most 10", |seen| seen.tables[0].indexes = vec![index("i", &["created"]); 10]),
        ("partition", |seen| seen.tables[0].is_partitioned = true),
        ("partition", |seen| seen.tables[0].is_partition = true),
        ("rows written", |seen| seen.tables[0].rows_written = 20_000_000),
        ("exists and is not used", |seen| seen.tables[0].indexes.push(index("known", &["customer_id", "status"]))),
        ("33 % of the rows", |seen| {
            seen.statements = vec![statement("select * from orders where status = $1", 100_000.0)];
        }),
        ("no condition", |seen| seen.statements = vec![statement("select * from orders where status <> $1", 9.0)]),
        ("not visible", |seen| {
            seen.tables[0].columns[1].n_distinct = None;
            seen.tables[0].statistics_visible = false;
        }),
        ("could not be looked at", |seen| seen.tables.clear()),
        ("the table is locked", |seen| seen.statements[0].plan = Err("the table is locked".into())),
        ("more than one statement", |seen| seen.statements[0].text = "select 1; drop table x".into()),
    ];
    for (reason, change) in cases {
        let found = changed(change);
        assert_eq!(advised(&found), None, "{reason}");
        assert_eq!(found.root_cause.kind, RootCauseKind::SlowerStatement, "{reason}");
        assert!(found.facts.is_true("no_fix_available") && !found.facts.is_true("missing_index"));
        let evidence = &found.root_cause.evidence[0];
        assert!(evidence.name == "no_fix_available" && evidence.value.contains(reason), "{reason}: {evidence:?}");
    }
}

#[test]
fn an_index_that_cannot_serve_does_not_count_as_existing() {
    for other in [
        IndexFacts { valid: false, ..index("dbmedic_orders_1", &["customer_id"]) },
        IndexFacts { method: "brin".into(), ..index("ranges", &["customer_id"]) },
        IndexFacts { columns: vec![None], ..index("expression", &["customer_id"]) },
        index("second", &["status", "customer_id"]),
    ] {
        let found = changed(|seen| seen.tables[0].indexes.push(other.clone()));
        assert_eq!(advised(&found).as_deref(), Some("customer_id"), "{other:?}");
        assert!(found.facts.is_true("safe"), "{other:?}");
    }
}

#[test]
fn a_second_column_has_to_be_worth_it() {
    let text = "select * from orders where status = $1 and customer_id = $2 and created > $3";
    let narrow = changed(|seen| seen.statements = vec![statement(text, 10.0)]);
    assert_eq!(advised(&narrow).as_deref(), Some("customer_id"), "30 rows are cheap to fetch");
    let wide = changed(|seen| {
        seen.statements = vec![statement(text, 10.0)];
        seen.tables[0].columns[1].n_distinct = Some(100.0);
    });
    assert_eq!(advised(&wide).as_deref(), Some("customer_id,status,created"));
    let top = changed(|seen| {
        seen.statements =
            vec![statement("select * from orders where customer_id = $1 order by created desc limit $2", 10.0)];
        seen.tables[0].columns[1].n_distinct = Some(100.0);
    });
    assert_eq!(advised(&top).as_deref(), Some("customer_id,created"));
}

#[test]
fn every_part_of_the_rule_for_safe_can_fail() {
    type Change = fn(&mut Looked);
    let cases: [(&str, Change); 16] = [
        ("width", |seen| seen.tables[0].columns[1].longest_bytes = None),
        ("width", |seen| unbounded(seen, 65.0, 100)),
        ("width", |seen| unbounded(seen, 20.0, 501)),
        ("width", |seen| {
            unbounded(seen, 20.0, 40);
            seen.tables[0].columns[1].longest_sampled = None;
        }),
        ("locks", |seen| seen.tables[0].strong_locks = 1),
        ("replica", |seen| seen.load.idle_slots = 1),
        ("disk", |seen| {
            seen.tables[0].rows = 5e6;
            seen.load.database_bytes = 300 << 20;
        }),
        ("load", |seen| seen.load.active_sessions = 78),
        ("size", |seen| seen.tables[0].bytes = 11 << 30),
        ("role", |seen| seen.load.in_recovery = true),
        ("connections", |seen| seen.load.sessions = 95),
        ("transactions", |seen| seen.load.oldest_transaction_seconds = Some(31.0)),
        ("disk", |seen| {
            seen.tables[0].rows = 1e8;
            seen.tables[0].bytes = 9 << 30;
        }),
        ("replica", |seen| seen.load.replica_lag_bytes = Some(1e9)),
        ("build", |seen| seen.load.build_running = true),
        ("twin", |seen| {
            seen.tables[0].indexes.push(IndexFacts { valid: false, ..index("broken", &["customer_id"]) });
        }),
    ];
    for (name, change) in cases {
        let found = changed(change);
        assert!(found.facts.is_true("missing_index") && !found.facts.is_true("safe"), "{name}");
        assert!(found.facts.is_true("no_fix_available"), "{name}");
        let failed: Vec<&str> = found
            .root_cause
            .evidence
            .iter()
            .filter(|e| e.value.starts_with("fails"))
            .map(|e| e.name.as_str())
            .collect();
        assert_eq!(failed, [format!("safe: {name}")], "{:?}", found.root_cause.evidence);
    }
}

/// The column of the advised index as one of text.
fn unbounded(seen: &mut Looked, average: f64, longest: i64) {
    let column = &mut seen.tables[0].columns[1];
    column.type_name = "text".into();
    (column.average_width, column.longest_bytes, column.longest_sampled) = (Some(average), None, Some(longest));
}

#[test]
fn short_text_is_indexed_and_what_could_go_wrong_is_said() {
    let found = changed(|seen| unbounded(seen, 18.0, 60));
    assert!(found.facts.is_true("safe"), "{found:?}");
    let said = found.root_cause.evidence.iter().find(|one| one.name == "safe: width").expect("a check");
    assert!(said.value.contains("longest sampled: 60 bytes") && said.value.contains("would fail"), "{said:?}");
    let wide = changed(|seen| {
        unbounded(seen, 18.0, 60);
        seen.tables[0].columns[1].longest_bytes = Some(4_004);
    });
    assert!(wide.facts.is_true("safe"), "varchar(1000) counts by what is in it");
}

#[test]
fn causes_other_than_an_index_are_told_apart() {
    let none = diagnose(&Looked::default());
    assert_eq!(none.root_cause.kind, RootCauseKind::Unknown);
    assert!(none.root_cause.summary.starts_with("Unknown"));
    let more = changed(|seen| {
        seen.statements[0].growth.mean_ms = 0.52;
        seen.statements[0].growth.calls_per_second = 400.0;
    });
    assert_eq!(more.root_cause.kind, RootCauseKind::MissingIndex, "a scan stays dear however often it runs");
    let more = changed(|seen| {
        seen.statements[0].growth.mean_ms = 0.52;
        seen.statements[0].growth.calls_per_second = 400.0;
        seen.tables[0].indexes.push(index("known", &["customer_id"]));
    });
    assert_eq!(more.root_cause.kind, RootCauseKind::MoreCalls);
    assert!(more.root_cause.summary.contains("400.0 instead of 10.0 per second"), "{}", more.root_cause.summary);
    let steady = changed(|seen| {
        seen.statements[0].growth.mean_ms = 0.51;
        seen.tables[0].indexes.push(index("known", &["customer_id"]));
    });
    assert_eq!(steady.root_cause.kind, RootCauseKind::Unknown);
    let always = changed(|seen| seen.statements[0].growth.mean_ms = 0.51);
    assert_eq!(always.root_cause.kind, RootCauseKind::Unknown, "a scan that was there before explains nothing");
    let faster = changed(|seen| seen.statements[0].growth.mean_ms = 0.1);
    assert_eq!(faster.root_cause.kind, RootCauseKind::Unknown);
}

#[test]
fn the_statement_that_grew_most_comes_first() {
    let found = changed(|seen| {
        let mut small = seen.statements[0].clone();
        small.growth.query_id = 5;
        small.growth.mean_ms = 5.5;
        seen.statements.insert(0, small);
    });
    let shares: Vec<f64> = found.root_cause.statements.iter().map(|one| (one.share * 100.0).round()).collect();
    assert_eq!(shares, [91.0, 9.0]);
    assert_eq!(found.root_cause.statements[0].query_id, "-77");
    assert!(found.facts.is_true("single_query_cause"));
}

#[test]
fn literals_and_control_characters_never_pass_and_lengths_are_bounded() {
    let found = changed(|seen| {
        let hostile = format!(
            "select * from orders /* {} */ where customer_id = 4711 and status = 'se\u{1b}cret'",
            "x".repeat(5_000)
        );
        seen.statements = (0..20).map(|_| statement(&hostile, 30.0)).collect();
        seen.unavailable = (0..100).map(|n| format!("thing {n} \u{7} {}", "y".repeat(3_000))).collect();
        seen.tables[0].columns[1].name = "customer_id".into();
    });
    let everything = format!("{found:?}");
    assert!(!everything.contains("4711") && !everything.contains("cret"), "{everything}");
    assert!(!everything.contains("\\u{1b}") && !everything.contains("\\u{7}"));
    let cause = &found.root_cause;
    assert!(cause.summary.chars().count() <= 512 && cause.statements.len() <= 5 && cause.evidence.len() <= 32);
    assert!(cause.evidence.iter().all(|e| e.name.chars().count() <= 128 && e.value.chars().count() <= 1024));
    assert!(cause.statements.iter().all(|one| one.text.chars().count() <= 1024));
}

#[test]
fn a_pattern_that_no_index_serves_is_a_fact() {
    let found = changed(|seen| seen.statements[0].text = "select * from orders where abs(customer_id) = $1".into());
    assert!(found.facts.is_true("inefficient_pattern"));
    assert!(
        found.root_cause.evidence.iter().any(|e| e.name == "inefficient pattern" && e.value.contains("customer_id"))
    );
}
