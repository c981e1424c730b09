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
    pub(super) fn merge(mut self, newer: &Self) -> Self {
        let (Some(last), Some(first)) = (self.at.last(), newer.at.first()) else {
            return if self.at.is_empty() { newer.clone() } else { self };
        };
        // As chunks nearly always follow each other: what is there is not copied for each.
        if last < first {
            self.append(newer);
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

    /// Adds a block whose instants are all later.
    fn append(&mut self, later: &Self) {
        let rows = self.at.len();
        self.at.extend(&later.at);
        for column in &later.columns {
            if !self.columns.iter().any(|present| present.metric == column.metric) {
                self.columns.push(Column { metric: column.metric, values: vec![f32::NAN; rows] });
            }
        }
        for present in &mut self.columns {
            match later.columns.iter().find(|column| column.metric == present.metric) {
                Some(column) => present.values.extend(&column.values),
                None => present.values.resize(self.at.len(), f32::NAN),
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn block(from: i64, columns: &[(i64, [f32; 3])]) -> Block {
        let column = |(metric, values): &(i64, [f32; 3])| Column { metric: *metric, values: values.to_vec() };
        Block { at: (from..from + 3).collect(), columns: columns.iter().map(column).collect() }
    }

    fn text(block: &Block) -> String {
        let columns = block.columns.iter().map(|column| format!("{}: {:?}", column.metric, column.values));
        format!("{:?} {:?}", block.at, columns.collect::<Vec<_>>())
    }

    #[test]
    fn a_block_that_follows_is_appended_as_it_would_be_laid_over() {
        let before = block(0, &[(1, [1.0, f32::NAN, 3.0]), (2, [4.0, 5.0, 6.0])]);
        let after = block(10, &[(3, [7.0, 8.0, 9.0]), (2, [10.0, 11.0, f32::NAN])]);
        let mut laid = Block { at: before.at.iter().chain(&after.at).copied().collect(), columns: Vec::new() };
        laid.lay_over(&before);
        laid.lay_over(&after);
        assert_eq!(text(&before.clone().merge(&after)), text(&laid));
        assert_eq!(text(&after.merge(&before)).matches("[0, 1, 2, 10, 11, 12]").count(), 1, "in any order");
    }
}
