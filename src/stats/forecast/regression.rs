//! An autoregression on the rows just before, one short and one long period before: the products of a multiplicative
//! seasonal autoregression (Box and Jenkins 1970, chapter 9), each coefficient free.

use super::season::Periods;

/// Most terms: the constant and six lags.
const TERMS: usize = 7;

/// Weight of the belief that the coefficients are near zero, in rows of unit variance.
const RIDGE: f64 = 1.0;

/// Least squares that grows with the series, so that every origin costs one small solution.
pub(super) struct Regression<'a> {
    values: &'a [f64],
    lags: Vec<usize>,
    centre: f64,
    size: f64,
    least: f64,
    most: f64,
    square: [[f64; TERMS]; TERMS],
    product: [f64; TERMS],
    next: usize,
}

impl<'a> Regression<'a> {
    /// Begins with no rows taken in.
    pub fn new(values: &'a [f64], periods: Periods) -> Self {
        let mut lags = vec![1, 2];
        lags.extend(periods.short.iter().flat_map(|short| [*short, short + 1]));
        lags.extend(periods.long.iter().flat_map(|long| [*long, long + 1]));
        lags.dedup();
        let centre = super::robust::mean(values);
        let variance = values.iter().map(|value| (value - centre).powi(2)).sum::<f64>() / values.len().max(1) as f64;
        let size = variance.sqrt();
        let (least, most) = values
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| (value.min(least), value.max(most)));
        let next = lags.last().copied().unwrap_or(1);
        Self {
            values,
            lags,
            centre,
            size: if size > 0.0 { size } else { 1.0 },
            least: least - 0.5 * (most - least),
            most: most + 0.5 * (most - least),
            square: [[0.0; TERMS]; TERMS],
            product: [0.0; TERMS],
            next,
        }
    }

    /// What is expected after the first `origin` rows; origins in ascending order. False when they are too few.
    pub fn path(&mut self, origin: usize, path: &mut [f64]) -> bool {
        let furthest = self.lags.last().copied().unwrap_or(1);
        let terms = self.lags.len() + 1;
        while self.next < origin {
            let row = self.row(self.values, self.next);
            let value = (self.values[self.next] - self.centre) / self.size;
            for (at, term) in row.iter().enumerate().take(terms) {
                self.product[at] += term * value;
                for (to, other) in row.iter().enumerate().take(at + 1) {
                    self.square[at][to] += term * other;
                }
            }
            self.next += 1;
        }
        if origin < furthest + 4 * terms {
            return false;
        }
        let Some(weights) = solve(self.square, self.product, terms) else { return false };
        let mut values: Vec<f64> = self.values[origin - furthest..origin].to_vec();
        for expected in path.iter_mut() {
            let row = self.row(&values, values.len());
            let sum: f64 = row.iter().zip(&weights).take(terms).map(|(term, weight)| term * weight).sum();
            let next = (sum * self.size + self.centre).clamp(self.least, self.most);
            *expected = next;
            values.push(next);
        }
        true
    }

    fn row(&self, values: &[f64], at: usize) -> [f64; TERMS] {
        let mut row = [0.0; TERMS];
        row[0] = 1.0;
        for (term, lag) in row[1..].iter_mut().zip(&self.lags) {
            *term = (values[at - lag] - self.centre) / self.size;
        }
        row
    }
}

/// Cholesky's solution of the normal equations with the ridge.
fn solve(mut square: [[f64; TERMS]; TERMS], product: [f64; TERMS], terms: usize) -> Option<[f64; TERMS]> {
    for (at, row) in square.iter_mut().enumerate() {
        row[at] += RIDGE;
    }
    for at in 0..terms {
        for to in 0..=at {
            let known: f64 = (0..to).map(|inner| square[at][inner] * square[to][inner]).sum();
            let left = square[at][to] - known;
            if at == to {
                if left.is_nan() || left <= 0.0 {
                    return None;
                }
                square[at][at] = left.sqrt();
            } else {
                square[at][to] = left / square[to][to];
            }
        }
    }
    let mut found = product;
    for at in 0..terms {
        let known: f64 = (0..at).map(|inner| square[at][inner] * found[inner]).sum();
        found[at] = (found[at] - known) / square[at][at];
    }
    for at in (0..terms).rev() {
        let known: f64 = (at + 1..terms).map(|inner| square[inner][at] * found[inner]).sum();
        found[at] = (found[at] - known) / square[at][at];
    }
    Some(found)
}
