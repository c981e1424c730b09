//! What a compiled expression is, and its value for one sample. No allocation, no text, no loop but over the lists that
//! were written down.

/// A name that an expression knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Name {
    /// The value.
    Current,
    /// Learnt centre of this hour of the week.
    BaselineMean,
    /// Learnt robust standard deviation of this hour of the week.
    BaselineStandardDeviation,
    /// Hour of the day, 0 to 23, by the clock that profiles are learnt by.
    Hour,
    /// Day of the week by that clock: 1 is Monday, 7 is Sunday.
    DayOfWeek,
}

impl Name {
    /// All names as they are written.
    pub const ALL: [(&'static str, Self); 5] = [
        ("current", Self::Current),
        ("baseline_mean", Self::BaselineMean),
        ("baseline_std_dev", Self::BaselineStandardDeviation),
        ("hour", Self::Hour),
        ("day_of_week", Self::DayOfWeek),
    ];

    /// Whether it speaks of the rule's metric.
    pub fn is_of_metric(self) -> bool {
        matches!(self, Self::Current | Self::BaselineMean | Self::BaselineStandardDeviation)
    }
}

/// A comparison of two numbers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
}

impl Comparison {
    /// By its sign.
    pub fn of(sign: &str) -> Option<Self> {
        match sign {
            "<" => Some(Self::Less),
            "<=" => Some(Self::LessOrEqual),
            ">" => Some(Self::Greater),
            ">=" => Some(Self::GreaterOrEqual),
            "==" => Some(Self::Equal),
            "!=" => Some(Self::NotEqual),
            _ => None,
        }
    }

    #[allow(clippy::float_cmp, reason = "equality is what was written")]
    fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
            Self::Equal => left == right,
            Self::NotEqual => left != right,
        }
    }
}

/// An operation on two numbers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Operation {
    /// By its sign.
    pub fn of(sign: &str) -> Option<Self> {
        match sign {
            "+" => Some(Self::Add),
            "-" => Some(Self::Subtract),
            "*" => Some(Self::Multiply),
            "/" => Some(Self::Divide),
            "%" => Some(Self::Remainder),
            _ => None,
        }
    }

    fn of_two(self, left: f64, right: f64) -> f64 {
        match self {
            Self::Add => left + right,
            Self::Subtract => left - right,
            Self::Multiply => left * right,
            Self::Divide => left / right,
            Self::Remainder => left % right,
        }
    }
}

/// A function of numbers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Function {
    Absolute,
    Least,
    Greatest,
}

/// What is a number.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Number {
    Constant(f64),
    Named(Name),
    /// Another metric, by index.
    Metric(usize),
    Negate(Box<Self>),
    Binary(Operation, Box<Self>, Box<Self>),
    Call(Function, Vec<Self>),
    Choose(Box<Truth>, Box<Self>, Box<Self>),
}

/// What is true or false.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Truth {
    Constant(bool),
    Compare(Comparison, Box<Number>, Box<Number>),
    In(Box<Number>, Vec<Number>),
    /// Both the same truth value, or with `false` both different.
    Same(bool, Box<Self>, Box<Self>),
    Not(Box<Self>),
    And(Vec<Self>),
    Or(Vec<Self>),
    Choose(Box<Self>, Box<Self>, Box<Self>),
}

/// Where the values of names come from; `None` where there is none.
pub trait Values {
    /// The value of a name.
    fn named(&self, name: Name) -> Option<f64>;
    /// The value of another metric.
    fn metric(&self, index: usize) -> Option<f64>;
}

impl Number {
    /// Its value; `None` when a value that it depends on is missing, and when it is not finite (a division by zero).
    pub fn value(&self, values: &impl Values) -> Option<f64> {
        let value = match self {
            Self::Constant(value) => *value,
            Self::Named(name) => values.named(*name)?,
            Self::Metric(index) => values.metric(*index)?,
            Self::Negate(of) => -of.value(values)?,
            Self::Binary(operation, left, right) => operation.of_two(left.value(values)?, right.value(values)?),
            Self::Call(function, of) => {
                let mut found: Option<f64> = None;
                for part in of {
                    let value = part.value(values)?;
                    found = Some(match (function, found) {
                        (Function::Absolute, _) => value.abs(),
                        (Function::Least, Some(found)) => found.min(value),
                        (Function::Greatest, Some(found)) => found.max(value),
                        (_, None) => value,
                    });
                }
                found?
            }
            Self::Choose(condition, then, otherwise) => {
                if condition.holds(values)? { then.value(values)? } else { otherwise.value(values)? }
            }
        };
        value.is_finite().then_some(value)
    }
}

impl Truth {
    /// Whether it holds. `None` when that depends on a value that is missing: as in CEL, `false && missing` is false and
    /// `true || missing` is true, in either order.
    pub fn holds(&self, values: &impl Values) -> Option<bool> {
        match self {
            Self::Constant(truth) => Some(*truth),
            Self::Compare(comparison, left, right) => Some(comparison.holds(left.value(values)?, right.value(values)?)),
            Self::In(of, list) => {
                let of = of.value(values)?;
                any(list.iter().map(|element| Some(Comparison::Equal.holds(element.value(values)?, of))))
            }
            Self::Same(equal, left, right) => Some((left.holds(values)? == right.holds(values)?) == *equal),
            Self::Not(of) => of.holds(values).map(|holds| !holds),
            Self::And(of) => any(of.iter().map(|part| part.holds(values).map(|holds| !holds))).map(|found| !found),
            Self::Or(of) => any(of.iter().map(|part| part.holds(values))),
            Self::Choose(condition, then, otherwise) => {
                if condition.holds(values)? { then.holds(values) } else { otherwise.holds(values) }
            }
        }
    }
}

impl Number {
    fn names(&self, wanted: Name) -> bool {
        match self {
            Self::Constant(_) | Self::Metric(_) => false,
            Self::Named(name) => *name == wanted,
            Self::Negate(of) => of.names(wanted),
            Self::Binary(_, left, right) => left.names(wanted) || right.names(wanted),
            Self::Call(_, of) => of.iter().any(|part| part.names(wanted)),
            Self::Choose(condition, then, otherwise) => {
                condition.names(wanted) || then.names(wanted) || otherwise.names(wanted)
            }
        }
    }
}

impl Truth {
    /// Whether the name stands in it.
    pub fn names(&self, wanted: Name) -> bool {
        match self {
            Self::Constant(_) => false,
            Self::Compare(_, left, right) => left.names(wanted) || right.names(wanted),
            Self::In(of, list) => of.names(wanted) || list.iter().any(|element| element.names(wanted)),
            Self::Same(_, left, right) => left.names(wanted) || right.names(wanted),
            Self::Not(of) => of.names(wanted),
            Self::And(of) | Self::Or(of) => of.iter().any(|part| part.names(wanted)),
            Self::Choose(condition, then, otherwise) => {
                [condition, then, otherwise].iter().any(|part| part.names(wanted))
            }
        }
    }
}

/// True when one is, else missing when one is, else false.
fn any(of: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut missing = false;
    for holds in of {
        match holds {
            Some(true) => return Some(true),
            Some(false) => {}
            None => missing = true,
        }
    }
    (!missing).then_some(false)
}
