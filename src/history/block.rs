//! Rounds of one target in columns: what a chunk holds once decoded.

use super::rounding::round_value;

/// The values of one metric at the instants of a [`Block`]; NaN where there is none.
#[derive(Clone, Debug)]
pub(super) struct Column {
    /// Id of the metric in the store.
    pub(super) metric: i64,
    /// One value per instant.
    pub(super) values: Vec<f32>,
}

/// Rounds of one target, in columns. Instants ascend strictly; values are rounded as history keeps them.
#[derive(Clone, Debug, Default)]
pub(super) struct Block {
    /// Milliseconds since the Unix epoch.
    pub(super) at: Vec<i64>,
    /// Columns, each metric once.
    pub(super) columns: Vec<Column>,
}

/// Rounds as they come: one row of values per round, in any order of time.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    /// Milliseconds since the Unix epoch.
    pub(super) at: Vec<i64>,
    /// `at.len() * metrics` values.
    pub(super) values: Vec<f32>,
}

impl Block {
    /// Columns of rows in which `metrics` are the metrics of each. Of two values of one metric at one instant the
    /// later row's is kept; an absent value hides nothing.
    pub(super) fn from_rows(metrics: &[i64], rows: &Rows) -> Self {
        let width = metrics.len();
        let sorted = rows.at.is_sorted_by(|one, next| one < next);
        let mut order: Vec<u32> = (0..rows.at.len() as u32).collect();
        if !sorted {
            order.sort_by_key(|&row| rows.at[row as usize]);
        }
        let mut at: Vec<i64> = Vec::with_capacity(order.len());
        let mut place: Vec<u32> = Vec::with_capacity(order.len());
        for &row in &order {
            let instant = rows.at[row as usize];
            if at.last() != Some(&instant) {
                at.push(instant);
            }
            place.push(at.len() as u32 - 1);
        }
        let columns = metrics
            .iter()
            .enumerate()
            .map(|(index, &metric)| {
                let mut values = vec![f32::NAN; at.len()];
                for (&row, &place) in order.iter().zip(&place) {
                    if let Some(value) = round_value(rows.values[row as usize * width + index]) {
                        values[place as usize] = value;
                    }
                }
                Column { metric, values }
            })
            .collect();
        Self { at, columns }.without_empty_columns()
    }

    /// Both blocks as one; where both have a value of one metric at one instant, `newer`'s.
    pub(super) fn merge(self, newer: &Self) -> Self {
        if self.at.is_empty() {
            return newer.clone();
        }
        if newer.at.is_empty() {
            return self;
        }
        let mut at: Vec<i64> = self.at.iter().chain(&newer.at).copied().collect();
        at.sort_unstable();
        at.dedup();
        let mut merged = Self { at, columns: Vec::new() };
        merged.lay_over(&self);
        merged.lay_over(newer);
        merged
    }

    /// Writes the values of `other`, whose instants are all among this block's, over this block's.
    fn lay_over(&mut self, other: &Self) {
        let mut place = Vec::with_capacity(other.at.len());
        let mut index = 0;
        for instant in &other.at {
            while index < self.at.len() && self.at[index] < *instant {
                index += 1;
            }
            place.push(index);
        }
        for column in &other.columns {
            let rows = self.at.len();
            let present = self.columns.iter().position(|present| present.metric == column.metric);
            let target = present.unwrap_or_else(|| {
                self.columns.push(Column { metric: column.metric, values: vec![f32::NAN; rows] });
                self.columns.len() - 1
            });
            let values = &mut self.columns[target].values;
            for (&place, &value) in place.iter().zip(&column.values) {
                if !value.is_nan() {
                    values[place] = value;
                }
            }
        }
    }

    /// The rounds at positions `from..to`.
    pub(super) fn slice(&self, from: usize, to: usize) -> Self {
        Self {
            at: self.at[from..to].to_vec(),
            columns: self
                .columns
                .iter()
                .map(|column| Column { metric: column.metric, values: column.values[from..to].to_vec() })
                .collect(),
        }
        .without_empty_columns()
    }

    /// Leaves out metrics without any value.
    fn without_empty_columns(mut self) -> Self {
        self.columns.retain(|column| column.values.iter().any(|value| !value.is_nan()));
        self
    }

    /// Values that are there.
    pub(super) fn samples(&self) -> usize {
        self.columns.iter().map(|column| column.values.iter().filter(|value| !value.is_nan()).count()).sum()
    }
}
