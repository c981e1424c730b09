//! `when` of a step: CEL over `facts`, restricted to what facts are, truth values.

use cel::Program;
use cel::common::ast::{Expr, IdedExpr, LiteralValue, SourceInfo, operators};
use cel::{Context, Value};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::diagnose::facts::{Facts, KNOWN};

/// A compiled `when`.
#[derive(Clone, Debug)]
pub struct Condition {
    source: String,
    program: Arc<Program>,
}

/// Why a `when` cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{message} at character {position} of {source_text:?}; {allowed}")]
pub struct ConditionError {
    /// What is wrong.
    pub message: String,
    /// Where, counted from 1.
    pub position: usize,
    /// The text as it was found.
    pub source_text: String,
    /// What is allowed.
    pub allowed: String,
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

/// Compiles a `when`.
///
/// Allowed are `facts.NAME` with a known name, `true`, `false`, `!`, `&&`, `||`, `==`, `!=`, `? :` and parentheses:
/// facts are truth values, and what is outside of that language is a slip of the pen that has to be said at once.
///
/// # Errors
/// [`ConditionError`] with the position of the first fault.
pub fn compile(when: &str) -> Result<Condition, ConditionError> {
    let error = |message: String, position: usize, allowed: String| ConditionError {
        message,
        position,
        source_text: when.to_owned(),
        allowed,
    };
    let program = Program::compile(when).map_err(|errors| {
        let (message, position) = errors
            .errors
            .first()
            .map_or((String::from("not an expression"), 1), |first| (first.msg.clone(), character_at(when, first.pos)));
        error(message, position, allowed_forms())
    })?;
    check(program.expression()).map_err(|fault| {
        let position = offset(program.source_info(), fault.id);
        error(fault.message, position, fault.allowed)
    })?;
    Ok(Condition { source: when.to_owned(), program: Arc::new(program) })
}

impl Condition {
    /// The text as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it holds. Facts that were not established are false.
    ///
    /// # Errors
    /// The interpreter's message; [`compile`] lets no expression pass that can raise one.
    pub fn holds(&self, facts: &Facts) -> Result<bool, String> {
        let values: HashMap<String, Value> =
            KNOWN.iter().map(|name| ((*name).to_owned(), Value::Bool(facts.is_true(name)))).collect();
        let mut context = Context::default();
        context.add_variable_from_value("facts", values);
        match self.program.execute(&context) {
            Ok(Value::Bool(holds)) => Ok(holds),
            Ok(other) => Err(format!("{:?} is {other:?}, not true or false", self.source)),
            Err(error) => Err(error.to_string()),
        }
    }
}

struct Fault {
    id: u64,
    message: String,
    allowed: String,
}

fn allowed_forms() -> String {
    format!("allowed are {}, true, false, !, &&, ||, ==, !=, ? : and parentheses", known_names())
}

fn known_names() -> String {
    let names: BTreeSet<String> = KNOWN.iter().map(|name| format!("facts.{name}")).collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

fn check(expression: &IdedExpr) -> Result<(), Fault> {
    let fault = |message: String, allowed: String| Err(Fault { id: expression.id, message, allowed });
    match &expression.expr {
        Expr::Literal(LiteralValue::Boolean(_)) => Ok(()),
        Expr::Select(select) if matches!(&select.operand.expr, Expr::Ident(name) if name == "facts") => {
            if KNOWN.contains(&select.field.as_str()) {
                Ok(())
            } else {
                fault(format!("unknown fact {:?}", select.field), format!("known are {}", known_names()))
            }
        }
        Expr::Call(call)
            if call.target.is_none()
                && [
                    operators::LOGICAL_AND,
                    operators::LOGICAL_OR,
                    operators::LOGICAL_NOT,
                    operators::EQUALS,
                    operators::NOT_EQUALS,
                    operators::CONDITIONAL,
                ]
                .contains(&call.func_name.as_str()) =>
        {
            call.args.iter().try_for_each(check)
        }
        Expr::Ident(name) => fault(format!("unknown name {name:?}"), allowed_forms()),
        _ => fault("this form is not allowed here".into(), allowed_forms()),
    }
}

fn offset(source: &SourceInfo, id: u64) -> usize {
    source.offset_for(id).map_or(1, |(start, _)| start as usize + 1)
}

/// Turns the parser's line (from 1) and column into a character position, from 1.
fn character_at(text: &str, (line, column): (isize, isize)) -> usize {
    let before: usize =
        text.split_inclusive('\n').take(usize::try_from(line - 1).unwrap_or(0)).map(|line| line.chars().count()).sum();
    before + usize::try_from(column.max(1)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_over_facts_is_evaluated() {
        let condition = compile("facts.missing_index && (facts.safe || !facts.no_fix_available)").unwrap();
        assert_eq!(condition.holds(&Facts::from([("missing_index", true), ("safe", true)])), Ok(true));
        assert_eq!(condition.holds(&Facts::from([("safe", true)])), Ok(false));
        assert_eq!(compile("facts.safe ? true : facts.missing_index").unwrap().holds(&Facts::default()), Ok(false));
        assert_eq!(compile("facts.safe == facts.missing_index").unwrap().holds(&Facts::default()), Ok(true));
    }

    #[test]
    fn an_unknown_fact_is_an_error_that_lists_the_known_ones() {
        let error = compile("facts.safe && facts.missing_indx").unwrap_err();
        assert!(error.message.contains("missing_indx"), "{error}");
        assert!(error.allowed.contains("facts.missing_index"), "{error}");
        assert!((15..=20).contains(&error.position), "{error}");
    }

    #[test]
    fn a_syntax_error_names_its_position() {
        let error = compile("facts.safe &&").unwrap_err();
        assert!(error.position >= 12, "{error}");
        assert!(compile("").is_err());
    }

    #[test]
    fn what_is_no_truth_value_is_refused() {
        for text in
            ["1", "'a'", "facts", "safe", "facts['safe']", "[1].all(x, x > 0)", "size('a') == 1", "facts.safe.x"]
        {
            assert!(compile(text).is_err(), "{text}");
        }
    }
}
