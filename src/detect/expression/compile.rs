//! From the text of an expression to what it means. The text is CEL and is read by CEL's own parser; of the language,
//! numbers, truth values and what lies between them are kept. There are no loops, so its cost is bounded by its length.
//!
//! All numbers are floating-point: `baseline_mean * 2` needs no `2.0`, `5 / 2` is 2.5.

use cel::Program;
use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators};

use super::super::resolve::names;
use super::super::{FieldError, MetricSet};
use super::evaluate::{Comparison, Function, Name, Number, Operation, Truth};

/// Field of the spec that errors name.
const FIELD: &str = "detect.expression";
/// Longest text, in bytes: several times what anybody has to say about a metric.
const LONGEST: usize = 2_048;
/// Deepest nesting, in operators and brackets.
const DEEPEST: usize = 64;
/// Parts of an expression at most: at some 2 ns each, half a microsecond a sample.
const PARTS: usize = 256;

/// What an expression may name.
pub(super) struct Scope<'a> {
    /// The Baseline's metrics.
    pub metrics: &'a MetricSet,
    /// Whether `detect.metric` is given, which `current` and the baseline speak of.
    pub has_metric: bool,
}

/// A compiled expression and what it depends on.
pub(super) struct Compiled {
    /// Its meaning.
    pub truth: Truth,
    /// Other metrics that it names, by index, each once, in the order of the text.
    pub metrics: Vec<usize>,
    /// Whether it speaks of what is normal.
    pub needs_profile: bool,
}

/// Compiles an expression.
///
/// # Errors
/// [`FieldError`] with line and column: bad syntax, an unknown name with those that are known, a form that is outside of
/// the language kept here, a number where a truth value belongs, a text that is too long or too deep.
pub(super) fn compile(text: &str, scope: &Scope) -> Result<Compiled, FieldError> {
    if text.len() > LONGEST {
        let found = format!("{} bytes", text.len());
        return Err(FieldError::new(FIELD, &found, format!("at most {LONGEST} bytes")));
    }
    // The parser recurses: what would take it deep is refused before.
    if let Some(offset) = too_deep(text) {
        return Err(error_at(text, offset, format!("brackets and signs within each other at most {DEEPEST} deep")));
    }
    let program = Program::compile(text).map_err(|errors| {
        let (line, column) = errors.errors.first().map_or((1, 1), |first| first.pos);
        let message = errors.errors.first().map_or("no expression", |first| first.msg.as_str());
        let reason: String = message.lines().next().unwrap_or_default().chars().take(120).collect();
        error_at(text, character_at(text, line, column), format!("CEL of {} ({reason})", allowed_forms()))
    })?;
    let mut compiler = Compiler { text, program: &program, scope, metrics: Vec::new(), needs_profile: false, parts: 0 };
    let truth = compiler.truth(program.expression(), 0)?;
    Ok(Compiled { truth, metrics: compiler.metrics, needs_profile: compiler.needs_profile })
}

struct Compiler<'a> {
    text: &'a str,
    program: &'a Program,
    scope: &'a Scope<'a>,
    metrics: Vec<usize>,
    needs_profile: bool,
    parts: usize,
}

/// A part of an expression, by its type.
enum Part {
    Number(Number),
    Truth(Truth),
}

impl Compiler<'_> {
    fn truth(&mut self, expression: &IdedExpr, depth: usize) -> Result<Truth, FieldError> {
        match self.part(expression, depth)? {
            Part::Truth(truth) => Ok(truth),
            Part::Number(_) => Err(self.error(expression, "a truth value here, such as current > 5; this is a number")),
        }
    }

    fn number(&mut self, expression: &IdedExpr, depth: usize) -> Result<Number, FieldError> {
        match self.part(expression, depth)? {
            Part::Number(number) => Ok(number),
            Part::Truth(_) => Err(self.error(expression, "a number here; this is true or false")),
        }
    }

    fn part(&mut self, expression: &IdedExpr, depth: usize) -> Result<Part, FieldError> {
        self.parts += 1;
        if self.parts > PARTS || depth > DEEPEST {
            return Err(self.error(expression, format!("at most {PARTS} parts, {DEEPEST} deep")));
        }
        let depth = depth + 1;
        match &expression.expr {
            Expr::Literal(literal) => self.literal(expression, literal),
            Expr::Ident(name) => self.name(expression, name),
            Expr::Select(select) if matches!(&select.operand.expr, Expr::Ident(name) if name == "metrics") => {
                self.metric(expression, &select.field)
            }
            Expr::Call(call) => self.call(expression, call, depth),
            _ => Err(self.error(expression, allowed_forms())),
        }
    }

    fn literal(&self, expression: &IdedExpr, literal: &LiteralValue) -> Result<Part, FieldError> {
        let number = match literal {
            LiteralValue::Boolean(truth) => return Ok(Part::Truth(Truth::Constant(*truth.inner()))),
            LiteralValue::Int(whole) => *whole.inner() as f64,
            LiteralValue::UInt(whole) => *whole.inner() as f64,
            LiteralValue::Double(number) => *number.inner(),
            _ => return Err(self.error(expression, "numbers, true and false")),
        };
        if number.is_finite() { Ok(Part::Number(Number::Constant(number))) } else { Err(self.error(expression, "a finite number")) }
    }

    fn name(&mut self, expression: &IdedExpr, name: &str) -> Result<Part, FieldError> {
        let found = Name::ALL.iter().find(|(known, _)| *known == name).map(|(_, name)| *name);
        let Some(found) = found else {
            let allowed = if self.scope.metrics.index(name).is_some() {
                format!("metrics.{name}: other metrics are named so")
            } else {
                known_names(self.scope.metrics)
            };
            return Err(self.error(expression, allowed));
        };
        if found.is_of_metric() && !self.scope.has_metric {
            return Err(self.error(expression, "this name only with detect.metric, which it speaks of"));
        }
        self.needs_profile |= matches!(found, Name::BaselineMean | Name::BaselineStandardDeviation);
        Ok(Part::Number(Number::Named(found)))
    }

    fn metric(&mut self, expression: &IdedExpr, name: &str) -> Result<Part, FieldError> {
        let metrics = self.scope.metrics;
        let index = metrics.index(name).ok_or_else(|| {
            FieldError { found: shown(name), ..self.error(expression, format!("metrics. and one of {}", names(metrics))) }
        })?;
        if !self.metrics.contains(&index) {
            self.metrics.push(index);
        }
        Ok(Part::Number(Number::Metric(index)))
    }

    fn call(&mut self, expression: &IdedExpr, call: &CallExpr, depth: usize) -> Result<Part, FieldError> {
        if call.target.is_some() {
            return Err(self.error(expression, allowed_forms()));
        }
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::LOGICAL_NOT, [of]) => Ok(Part::Truth(Truth::Not(Box::new(self.truth(of, depth)?)))),
            (operators::LOGICAL_AND, of) => self.all(of, depth).map(|of| Part::Truth(Truth::And(of))),
            (operators::LOGICAL_OR, of) => self.all(of, depth).map(|of| Part::Truth(Truth::Or(of))),
            (operators::NEGATE, [of]) => Ok(Part::Number(Number::Negate(Box::new(self.number(of, depth)?)))),
            (operators::CONDITIONAL, [condition, then, otherwise]) => {
                let condition = Box::new(self.truth(condition, depth)?);
                match self.part(then, depth)? {
                    Part::Number(then) => {
                        let otherwise = Box::new(self.number(otherwise, depth)?);
                        Ok(Part::Number(Number::Choose(condition, Box::new(then), otherwise)))
                    }
                    Part::Truth(then) => {
                        let otherwise = Box::new(self.truth(otherwise, depth)?);
                        Ok(Part::Truth(Truth::Choose(condition, Box::new(then), otherwise)))
                    }
                }
            }
            (operators::IN, [of, list]) => self.within(of, list, depth),
            (operators::EQUALS, [left, right]) => self.same(left, right, true, depth),
            (operators::NOT_EQUALS, [left, right]) => self.same(left, right, false, depth),
            (name, [left, right]) => {
                if let Some(comparison) = Comparison::of(name) {
                    let (left, right) = (self.number(left, depth)?, self.number(right, depth)?);
                    return Ok(Part::Truth(Truth::Compare(comparison, Box::new(left), Box::new(right))));
                }
                if let Some(operation) = Operation::of(name) {
                    let (left, right) = (self.number(left, depth)?, self.number(right, depth)?);
                    return Ok(Part::Number(Number::Binary(operation, Box::new(left), Box::new(right))));
                }
                self.function(expression, call, depth)
            }
            _ => self.function(expression, call, depth),
        }
    }

    fn all(&mut self, of: &[IdedExpr], depth: usize) -> Result<Vec<Truth>, FieldError> {
        of.iter().map(|part| self.truth(part, depth)).collect()
    }

    fn within(&mut self, of: &IdedExpr, list: &IdedExpr, depth: usize) -> Result<Part, FieldError> {
        let Expr::List(list) = &list.expr else {
            return Err(self.error(list, "a list of numbers after in, such as [1, 2, 3, 4, 5]"));
        };
        let of = Box::new(self.number(of, depth)?);
        let elements = list.elements.iter().map(|element| self.number(element, depth)).collect::<Result<_, _>>()?;
        Ok(Part::Truth(Truth::In(of, elements)))
    }

    fn same(
        &mut self,
        left: &IdedExpr,
        right: &IdedExpr,
        equal: bool,
        depth: usize,
    ) -> Result<Part, FieldError> {
        let truth = match self.part(left, depth)? {
            Part::Number(left) => {
                let comparison = if equal { Comparison::Equal } else { Comparison::NotEqual };
                Truth::Compare(comparison, Box::new(left), Box::new(self.number(right, depth)?))
            }
            Part::Truth(left) => Truth::Same(equal, Box::new(left), Box::new(self.truth(right, depth)?)),
        };
        Ok(Part::Truth(truth))
    }

    fn function(&mut self, expression: &IdedExpr, call: &CallExpr, depth: usize) -> Result<Part, FieldError> {
        let (function, count) = match call.func_name.as_str() {
            "abs" => (Function::Absolute, 1),
            "min" => (Function::Least, 2),
            "max" => (Function::Greatest, 2),
            _ => return Err(self.error(expression, allowed_forms())),
        };
        if call.args.len() != count {
            return Err(self.error(expression, "abs(x), min(x, y), max(x, y)"));
        }
        let arguments = call.args.iter().map(|part| self.number(part, depth)).collect::<Result<_, _>>()?;
        Ok(Part::Number(Number::Call(function, arguments)))
    }

    fn error(&self, expression: &IdedExpr, allowed: impl Into<String>) -> FieldError {
        let offset = self.program.source_info().offset_for(expression.id).map_or(0, |(start, _)| start as usize);
        error_at(self.text, offset, allowed)
    }
}

/// An error at a character of the text, counted from 0.
fn error_at(text: &str, offset: usize, allowed: impl Into<String>) -> FieldError {
    let before: String = text.chars().take(offset).collect();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    let rest: String = text.chars().skip(offset).collect();
    let word = rest.split_whitespace().next().unwrap_or("the end");
    FieldError { field: format!("{FIELD}, line {line}, column {column}"), found: shown(word), allowed: allowed.into() }
}

fn shown(word: &str) -> String {
    word.chars().take(48).collect()
}

/// The character, counted from 0, of a line and column as the parser counts them: both from 1.
fn character_at(text: &str, line: isize, column: isize) -> usize {
    let lines = usize::try_from(line - 1).unwrap_or(0);
    let before: usize = text.split_inclusive('\n').take(lines).map(|line| line.chars().count()).sum();
    before + usize::try_from(column - 1).unwrap_or(0)
}

/// The first character at which brackets, or signs one after the other, are too deep.
fn too_deep(text: &str) -> Option<usize> {
    let (mut depth, mut signs) = (0_usize, 0_usize);
    text.chars().position(|character| {
        match character {
            '(' | '[' | '{' | '?' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        match character {
            '!' | '-' => signs += 1,
            character if character.is_whitespace() => {}
            _ => signs = 0,
        }
        depth > DEEPEST || signs > DEEPEST
    })
}

fn known_names(metrics: &MetricSet) -> String {
    let own: Vec<&str> = Name::ALL.iter().map(|(name, _)| *name).collect();
    format!("one of {}, or metrics. and one of {}", own.join(", "), names(metrics))
}

fn allowed_forms() -> &'static str {
    "numbers, true, false, names, metrics.NAME, + - * / %, < <= > >= == !=, && || !, in [...], ? :, abs, min, max and \
     parentheses"
}
