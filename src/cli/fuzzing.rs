//! Where hostile text comes in, for the fuzz targets (`fuzz/`) and the property tests: whatever it is, it is read or refused.

use super::backtest;

/// A CSV file: read, judged, and shown in every form. The words are the refusal.
///
/// # Errors
/// The message that the command would give.
pub fn csv(bytes: &[u8]) -> Result<(), String> {
    backtest::judge_bytes(bytes, None).map(|_| ())
}

/// An AnomalyRule as YAML: checked, and if it is one, tried on some rows.
///
/// # Errors
/// The message that the command would give.
pub fn rule(bytes: &[u8]) -> Result<(), String> {
    judged_by(bytes).map(|_| ())
}

/// Tries a rule. Gives the number of rows that something was known for.
fn judged_by(rule: &[u8]) -> Result<u64, String> {
    // Nine days of one hour each: profiles are ready after seven, and few rows keep it quick. With a step, a hole and an
    // absurd value.
    let mut csv = "timestamp,value,response_time\n".to_owned();
    for row in 0..216 {
        let (day, hour) = (row / 24, row % 24);
        let value = if row > 200 { 900.0 } else { f64::from(row % 7) };
        let other = match row {
            100 => "1e308".to_owned(),
            205..208 => String::new(),
            _ => (f64::from(hour) + value).to_string(),
        };
        csv.push_str(&format!("2026-03-{:02} {hour:02}:00:00,{value},{other}\n", 2 + day));
    }
    backtest::judge_bytes(csv.as_bytes(), Some(rule))
}

/// The text of an expression, within a rule.
///
/// # Errors
/// The message that the command would give.
pub fn expression(text: &str) -> Result<(), String> {
    let spec = serde_json::json!({
        "apiVersion": "dbmedic.io/v1alpha1",
        "kind": "AnomalyRule",
        "metadata": {"name": "fuzzed"},
        "spec": {"baselineRef": {"name": "orders"}, "for": "0s", "detect": {"metric": "value", "expression": text}},
    });
    // JSON is YAML.
    rule(spec.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULE: &str = include_str!("../../examples/backtest/anomalyrule.yaml");

    #[test]
    fn what_is_right_is_taken() {
        assert_eq!(csv(b"timestamp,a\n2026-03-02 00:00:00,1\n"), Ok(()));
        assert_eq!(rule(RULE.as_bytes()), Ok(()));
        assert_eq!(expression("current > baseline_mean"), Ok(()));
    }

    #[test]
    fn a_rule_is_tried_on_rows_that_profiles_are_ready_for() {
        assert!(judged_by(RULE.as_bytes()).unwrap() >= 24, "{:?}", judged_by(RULE.as_bytes()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn any_bytes_as_csv_end_in_rows_or_words(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = csv(&bytes);
            let _ = csv(&[b"timestamp,a,b\n2026-03-02 00:00:00,1,2\n", bytes.as_slice()].concat());
        }

        #[test]
        fn any_lines_as_csv_end_in_rows_or_words(
            text in "timestamp(,[a-c\"]{0,3}){1,3}\r?\n((2026-03-0[1-9]|1970-01-01|9999-12-3[01]|0001-01-01)[T ]0[0-9]:[0-5]0:00(,[0-9.eE+-]{0,6}){1,3}[\r\n]{1,2}){0,12}"
        ) {
            let _ = csv(text.as_bytes());
        }

        #[test]
        fn a_rule_with_any_part_replaced_ends_in_a_verdict_or_words(
            place in 0..RULE.len(), length in 0_usize..12, with in "[ -~\n]{0,12}|.{0,4}",
        ) {
            let end = (place + length).min(RULE.len());
            if let (Some(head), Some(tail)) = (RULE.get(..place), RULE.get(end..)) {
                let _ = rule(format!("{head}{with}{tail}").as_bytes());
            }
        }

        #[test]
        fn any_text_as_an_expression_ends_in_a_verdict_or_words(
            text in ".{0,40}|(current|hour|value|baseline_mean|[0-9.]{1,4}|[-+*/()<>=!&|?:\\[\\]\"' ]|exp){0,30}",
        ) {
            let _ = expression(&text);
        }
    }
}
