//! The plan's canonical form and its hash. What is approved is what is executed: the hash covers every field.

use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::api::Plan;

/// The plan as canonical JSON after RFC 8785: members sorted, no space, numbers as ECMAScript writes them.
pub fn canonical(plan: &Plan) -> String {
    let mut text = String::new();
    if let Ok(value) = serde_json::to_value(plan) {
        write_value(&value, &mut text);
    }
    text
}

/// SHA-256 over the canonical JSON, as `sha256:` and 64 hexadecimal digits.
pub fn hash(plan: &Plan) -> String {
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(canonical(plan)) {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A figure as plans carry it: six significant digits, 0 below 1e-9, and `None` from 1e21 on or for no number at all.
///
/// Such figures survive every JSON reader and writer between the operator, the API server and the Job, also those that
/// round the last bit of longer ones, so that the hash survives, too.
pub fn figure(value: f64) -> Option<f64> {
    match value.abs() {
        size if size < 1e-9 => Some(0.0),
        size if size < 1e21 => format!("{value:.5e}").parse().ok(),
        _ => None,
    }
}

fn write_value(value: &Value, text: &mut String) {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => write_number(float, text),
            _ => text.push_str(&number.to_string()),
        },
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_value(item, text);
            }
            text.push(']');
        }
        Value::Object(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort_by(|left, right| left.encode_utf16().cmp(right.encode_utf16()));
            text.push('{');
            for (index, name) in names.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                text.push_str(&Value::String(name.clone()).to_string());
                text.push(':');
                write_value(&members[name], text);
            }
            text.push('}');
        }
        // serde_json escapes exactly what RFC 8785 escapes.
        Value::Null | Value::Bool(_) | Value::String(_) => text.push_str(&value.to_string()),
    }
}

/// Number::toString of ECMAScript (ECMA-262, 6.1.6.1.20), from Rust's shortest digits.
fn write_number(number: f64, text: &mut String) {
    if number == 0.0 {
        text.push('0');
        return;
    }
    if number < 0.0 {
        text.push('-');
    }
    let shortest = format!("{:e}", number.abs());
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let digits: String = mantissa.chars().filter(|character| *character != '.').collect();
    let point = exponent.parse::<i32>().unwrap_or(0) + 1;
    let count = digits.len() as i32;
    let zeros = |many: i32| "0".repeat(usize::try_from(many).unwrap_or(0));
    if count <= point && point <= 21 {
        text.push_str(&digits);
        text.push_str(&zeros(point - count));
    } else if 0 < point && point <= 21 {
        let (whole, fraction) = digits.split_at(point as usize);
        let _ = write!(text, "{whole}.{fraction}");
    } else if -6 < point && point <= 0 {
        let _ = write!(text, "0.{}{digits}", zeros(-point));
    } else {
        let (first, rest) = digits.split_at(1);
        let dot = if rest.is_empty() { "" } else { "." };
        let sign = if point > 0 { "+" } else { "-" };
        let _ = write!(text, "{first}{dot}{rest}e{sign}{}", (point - 1).abs());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::api::{AddIndex, Change, PlanTarget, Risk, RiskLevel, Verification};

    fn plan() -> Plan {
        Plan {
            target: PlanTarget {
                baseline: "orders".into(),
                pod: "orders-db-0".into(),
                database: "orders".into(),
                system_identifier: "7300000000000000001".into(),
                timeline: 1,
            },
            change: Change {
                add_index: Some(AddIndex {
                    schema: "public".into(),
                    table: "orders".into(),
                    columns: vec!["customer_id".into()],
                    name: "dbmedic_orders_0a1b2c3d".into(),
                }),
            },
            statement: "CREATE INDEX \"é\"\n".into(),
            undo: "DROP".into(),
            verification: Verification {
                metric: "response_time".into(),
                before: 120.5,
                lower: None,
                upper: Some(8.0),
                query_ids: vec!["42".into()],
                statements_before_ms: Some(0.000_000_25),
                timeout_seconds: 300,
            },
            risk: Risk { level: RiskLevel::Low, reasons: vec!["small".into()] },
            timeout_seconds: 1800,
        }
    }

    #[test]
    fn canonical_json_and_its_hash_never_change() {
        assert_eq!(
            canonical(&plan()),
            concat!(
                r#"{"change":{"addIndex":{"columns":["customer_id"],"name":"dbmedic_orders_0a1b2c3d","schema":"public","#,
                r#""table":"orders"}},"risk":{"level":"low","reasons":["small"]},"statement":"CREATE INDEX \"é\"\n","#,
                r#""target":{"baseline":"orders","database":"orders","pod":"orders-db-0","#,
                r#""systemIdentifier":"7300000000000000001","timeline":1},"timeoutSeconds":1800,"undo":"DROP","#,
                r#""verification":{"before":120.5,"metric":"response_time","queryIds":["42"],"#,
                r#""statementsBeforeMs":2.5e-7,"timeoutSeconds":300,"upper":8}}"#
            )
        );
        assert_eq!(hash(&plan()), "sha256:e0c4a27626f7ba80eb56bf3ef1d1dbfbdc799d9e4b88061eec59909f9d12440f");
    }

    #[test]
    fn numbers_are_written_as_ecmascript_writes_them() {
        // Vectors of RFC 8785, appendix B.
        for (bits, expected) in [
            (0x0000_0000_0000_0000, "0"),
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
        ] {
            let mut text = String::new();
            write_number(f64::from_bits(bits), &mut text);
            assert_eq!(text, expected);
        }
    }

    /// Every leaf of the plan's JSON, changed one at a time.
    fn changed(value: &Value) -> Vec<Value> {
        match value {
            Value::Object(members) => members
                .iter()
                .flat_map(|(name, inner)| {
                    changed(inner).into_iter().map(|other| {
                        let mut copy = members.clone();
                        copy.insert(name.clone(), other);
                        Value::Object(copy)
                    })
                })
                .collect(),
            Value::Array(items) => {
                let mut longer = items.clone();
                longer.push(Value::String("more".into()));
                vec![Value::Array(longer), Value::Array(vec![])]
            }
            Value::Number(number) if number.is_f64() => vec![Value::from(number.as_f64().unwrap() * 2.0)],
            Value::Number(number) => vec![Value::from(number.as_i64().unwrap() + 1)],
            Value::String(text) if text == "low" => vec![Value::from("medium")],
            Value::String(text) => vec![Value::from(format!("{text} ")), Value::from("")],
            Value::Null | Value::Bool(_) => vec![],
        }
    }

    #[test]
    fn every_field_changes_the_hash() {
        let value = serde_json::to_value(plan()).unwrap();
        let mut hashes: Vec<String> =
            changed(&value).into_iter().map(|other| hash(&serde_json::from_value::<Plan>(other).unwrap())).collect();
        hashes.push(hash(&plan()));
        let mut lower = plan();
        lower.verification.lower = Some(0.0);
        hashes.push(hash(&lower));
        let count = hashes.len();
        assert!(count > 25, "{count}");
        hashes.sort();
        hashes.dedup();
        assert_eq!(hashes.len(), count);
    }

    proptest! {
        #[test]
        fn a_plan_that_went_through_json_keeps_its_hash(
            before in any::<f64>().prop_filter_map("a figure", |value| figure(value).or_else(|| figure(value.fract()))),
            statement in ".{0,64}",
        ) {
            let plan = Plan { statement, verification: Verification { before, ..plan().verification }, ..plan() };
            let text = serde_json::to_string(&plan).unwrap();
            let again: Plan = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(hash(&again), hash(&plan));
            let canonical_again: Plan = serde_json::from_str(&canonical(&plan)).unwrap();
            prop_assert_eq!(hash(&canonical_again), hash(&plan));
        }

        #[test]
        fn two_different_statements_never_share_a_hash(left in ".{0,32}", right in ".{0,32}") {
            let with = |statement: &str| hash(&Plan { statement: statement.into(), ..plan() });
            prop_assert_eq!(with(&left) == with(&right), left == right);
        }
    }
}
