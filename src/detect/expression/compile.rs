//! From the text of an expression to what it means: the part of CEL that is about numbers, truth values and what lies
//! between them. There are no loops, so the cost is bounded by the length.
//!
//! Read by a parser of our own and not by the `cel` crate's, which takes some tens of kilobytes of stack for each bracket
//! within another when it is built without optimisation: a text must never end the process. All numbers are
//! floating-point: `baseline_mean * 2` needs no `2.0`, `5 / 2` is 2.5.

use super::super::resolve::names;
use super::super::{FieldError, MetricSet};
use super::evaluate::{Comparison, Function, Name, Number, Operation, Truth};
use super::words::{FIELD, Placed, Word, error_at, words};

/// Longest text, in bytes: several times what anybody has to say about a metric.
const LONGEST: usize = 2_048;
/// Deepest nesting of brackets and choices.
const DEEPEST: usize = 32;
/// Parts of an expression at most: at some 6 ns each, 1.5 µs a sample.
const PARTS: usize = 256;

/// What an expression may be made of.
pub(super) const FORMS: &str = "CEL of numbers, true, false, names, metrics.NAME, + - * / %, < <= > >= == !=, && || !, in [...], ? :, abs(x), \
     min(x, y), max(x, y) and parentheses";

/// What an expression may name.
#[derive(Clone, Copy)]
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
    /// Whether it speaks of the rule's metric.
    pub names_metric: bool,
}

/// Compiles an expression.
///
/// # Errors
/// [`FieldError`] with line and column: bad syntax, an unknown name with those that are known, a form that is outside of
/// the language kept here, a number where a truth value belongs, a text that is too long or too deep.
pub(super) fn compile(text: &str, scope: Scope) -> Result<Compiled, FieldError> {
    if text.len() > LONGEST {
        return Err(FieldError::new(FIELD, &format!("{} bytes", text.len()), format!("at most {LONGEST} bytes")));
    }
    let words = words(text)?;
    let (metrics, needs_profile, names_metric) = (Vec::new(), false, false);
    let mut parser =
        Parser { text, words, next: 0, scope, metrics, needs_profile, names_metric, parts: 0, depth: 0 };
    let start = parser.place();
    let whole = parser.choice()?;
    if parser.word() != Word::End {
        return Err(parser.error(FORMS));
    }
    let truth = parser.truth(start, whole)?;
    let Parser { metrics, needs_profile, names_metric, .. } = parser;
    Ok(Compiled { truth, metrics, needs_profile, names_metric })
}

/// A part of an expression, by its type.
enum Part {
    Number(Number),
    Truth(Truth),
}

struct Parser<'a> {
    text: &'a str,
    words: Vec<Placed<'a>>,
    next: usize,
    scope: Scope<'a>,
    metrics: Vec<usize>,
    needs_profile: bool,
    names_metric: bool,
    parts: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn word(&self) -> Word<'a> {
        self.words.get(self.next).map_or(Word::End, |placed| placed.word)
    }

    fn place(&self) -> usize {
        self.words.get(self.next).map_or(self.text.len(), |placed| placed.start)
    }

    /// Passes over a sign if it is the next word.
    fn accepts(&mut self, sign: &str) -> bool {
        let found = self.word() == Word::Sign(self.known(sign));
        self.next += usize::from(found);
        found
    }

    fn known(&self, sign: &str) -> &'static str {
        match self.word() {
            Word::Sign(next) if next == sign => next,
            _ => "",
        }
    }

    fn expect(&mut self, sign: &str) -> Result<(), FieldError> {
        if self.accepts(sign) { Ok(()) } else { Err(self.error(format!("{sign} here"))) }
    }

    fn error(&self, allowed: impl Into<String>) -> FieldError {
        error_at(self.text, self.place(), allowed)
    }

    fn at(&self, start: usize, allowed: impl Into<String>) -> FieldError {
        error_at(self.text, start, allowed)
    }

    fn truth(&self, start: usize, part: Part) -> Result<Truth, FieldError> {
        match part {
            Part::Truth(truth) => Ok(truth),
            Part::Number(_) => Err(self.at(start, "a truth value here, such as current > 5; this is a number")),
        }
    }

    fn number(&self, start: usize, part: Part) -> Result<Number, FieldError> {
        match part {
            Part::Number(number) => Ok(number),
            Part::Truth(_) => Err(self.at(start, "a number here; this is true or false")),
        }
    }

    fn counted(&mut self) -> Result<(), FieldError> {
        self.parts += 1;
        if self.parts > PARTS { Err(self.error(format!("at most {PARTS} parts"))) } else { Ok(()) }
    }

    /// `condition ? then : otherwise`, or what binds closer.
    fn choice(&mut self) -> Result<Part, FieldError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.error(format!("brackets and choices at most {DEEPEST} deep")));
        }
        let start = self.place();
        let part = self.logic("||")?;
        let part = if self.accepts("?") {
            self.counted()?;
            let condition = Box::new(self.truth(start, part)?);
            let then = self.choice()?;
            self.expect(":")?;
            let start = self.place();
            let otherwise = self.choice()?;
            match then {
                Part::Number(then) => {
                    Part::Number(Number::Choose(condition, Box::new(then), Box::new(self.number(start, otherwise)?)))
                }
                Part::Truth(then) => {
                    Part::Truth(Truth::Choose(condition, Box::new(then), Box::new(self.truth(start, otherwise)?)))
                }
            }
        } else {
            part
        };
        self.depth -= 1;
        Ok(part)
    }

    /// Parts joined by `||`, each of them parts joined by `&&`.
    fn logic(&mut self, sign: &'static str) -> Result<Part, FieldError> {
        let start = self.place();
        let first = if sign == "||" { self.logic("&&")? } else { self.relation()? };
        if self.known(sign).is_empty() {
            return Ok(first);
        }
        let mut all = vec![self.truth(start, first)?];
        while self.accepts(sign) {
            self.counted()?;
            let start = self.place();
            let part = if sign == "||" { self.logic("&&")? } else { self.relation()? };
            all.push(self.truth(start, part)?);
        }
        Ok(Part::Truth(if sign == "||" { Truth::Or(all) } else { Truth::And(all) }))
    }

    /// A comparison, `in`, or what binds closer.
    fn relation(&mut self) -> Result<Part, FieldError> {
        let start = self.place();
        let mut left = self.sum()?;
        loop {
            let comparison = match self.word() {
                Word::Name("in") => None,
                Word::Sign(sign) => match Comparison::of(sign) {
                    Some(comparison) => Some(comparison),
                    None => return Ok(left),
                },
                _ => return Ok(left),
            };
            self.next += 1;
            self.counted()?;
            let Some(comparison) = comparison else {
                let of = Box::new(self.number(start, left)?);
                left = Part::Truth(Truth::In(of, self.list()?));
                continue;
            };
            let right_start = self.place();
            let right = self.sum()?;
            let equality = matches!(comparison, Comparison::Equal | Comparison::NotEqual);
            left = Part::Truth(match left {
                Part::Truth(left) if equality => {
                    let right = Box::new(self.truth(right_start, right)?);
                    Truth::Same(comparison == Comparison::Equal, Box::new(left), right)
                }
                left => {
                    let left = Box::new(self.number(start, left)?);
                    Truth::Compare(comparison, left, Box::new(self.number(right_start, right)?))
                }
            });
        }
    }

    /// `[a, b, c]` after `in`.
    fn list(&mut self) -> Result<Vec<Number>, FieldError> {
        if !self.accepts("[") {
            return Err(self.error("a list of numbers after in, such as [1, 2, 3, 4, 5]"));
        }
        let mut elements = Vec::new();
        while !self.accepts("]") {
            let start = self.place();
            let element = self.choice()?;
            elements.push(self.number(start, element)?);
            if self.known("]").is_empty() {
                self.expect(",")?;
            }
        }
        Ok(elements)
    }

    fn sum(&mut self) -> Result<Part, FieldError> {
        self.operations(&["+", "-"], |parser| parser.operations(&["*", "/", "%"], Self::signed))
    }

    fn operations(
        &mut self,
        signs: &[&str],
        of: impl Fn(&mut Self) -> Result<Part, FieldError>,
    ) -> Result<Part, FieldError> {
        let start = self.place();
        let mut left = of(self)?;
        loop {
            let Word::Sign(sign) = self.word() else { return Ok(left) };
            let Some(operation) = Operation::of(sign).filter(|_| signs.contains(&sign)) else { return Ok(left) };
            self.next += 1;
            self.counted()?;
            let right_start = self.place();
            let right = of(self)?;
            let (before, after) = (self.number(start, left)?, self.number(right_start, right)?);
            left = Part::Number(Number::Binary(operation, Box::new(before), Box::new(after)));
        }
    }

    /// A part after any number of `!` or `-`.
    fn signed(&mut self) -> Result<Part, FieldError> {
        let begin = self.next;
        while !self.known("!").is_empty() || !self.known("-").is_empty() {
            self.next += 1;
            self.counted()?;
        }
        let end = self.next;
        let start = self.place();
        let mut part = self.single()?;
        for index in (begin..end).rev() {
            part = if self.words[index].word == Word::Sign("!") {
                Part::Truth(Truth::Not(Box::new(self.truth(start, part)?)))
            } else {
                Part::Number(Number::Negate(Box::new(self.number(start, part)?)))
            };
        }
        Ok(part)
    }

    /// A number, a name, a function or what stands in parentheses.
    fn single(&mut self) -> Result<Part, FieldError> {
        self.counted()?;
        if self.accepts("(") {
            let part = self.choice()?;
            self.expect(")")?;
            return Ok(part);
        }
        let start = self.place();
        let part = match self.word() {
            Word::Number(number) => Part::Number(Number::Constant(number)),
            Word::Name("true") => Part::Truth(Truth::Constant(true)),
            Word::Name("false") => Part::Truth(Truth::Constant(false)),
            Word::Name(name) => {
                self.next += 1;
                if self.accepts("(") {
                    return self.function(start, name).map(Part::Number);
                }
                return self.named(start, name).map(Part::Number);
            }
            Word::Sign(_) | Word::End => return Err(self.error(FORMS)),
        };
        self.next += 1;
        Ok(part)
    }

    fn named(&mut self, start: usize, name: &str) -> Result<Number, FieldError> {
        let metrics = self.scope.metrics;
        if let Some(metric) = name.strip_prefix("metrics.") {
            let index = metrics.index(metric).ok_or_else(|| {
                let allowed = format!("metrics. and one of {}", names(metrics));
                self.at(start, allowed)
            })?;
            if !self.metrics.contains(&index) {
                self.metrics.push(index);
            }
            return Ok(Number::Metric(index));
        }
        let Some((_, found)) = Name::ALL.iter().find(|(known, _)| *known == name) else {
            let allowed = if metrics.index(name).is_some() {
                format!("metrics.{name}: other metrics are named so")
            } else {
                let own: Vec<&str> = Name::ALL.iter().map(|(name, _)| *name).collect();
                format!("one of {}, or metrics. and one of {}", own.join(", "), names(metrics))
            };
            return Err(self.at(start, allowed));
        };
        if found.is_of_metric() && !self.scope.has_metric {
            return Err(self.at(start, "this name only with detect.metric, which it speaks of"));
        }
        self.names_metric |= found.is_of_metric();
        self.needs_profile |= matches!(found, Name::BaselineMean | Name::BaselineStandardDeviation);
        Ok(Number::Named(*found))
    }

    /// The arguments of a function, whose opening parenthesis is passed already.
    fn function(&mut self, start: usize, name: &str) -> Result<Number, FieldError> {
        let (function, count) = match name {
            "abs" => (Function::Absolute, 1),
            "min" => (Function::Least, 2),
            "max" => (Function::Greatest, 2),
            _ => return Err(self.at(start, FORMS)),
        };
        let mut arguments = Vec::with_capacity(count);
        for argument in 0..count {
            if argument > 0 {
                self.expect(",")?;
            }
            let start = self.place();
            let part = self.choice()?;
            arguments.push(self.number(start, part)?);
        }
        self.expect(")")?;
        Ok(Number::Call(function, arguments))
    }
}
