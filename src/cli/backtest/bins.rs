//! The course of a series for a picture: bins of equal time in bounded memory, whatever comes.

/// Most bins that are kept.
const MOST: usize = 2048;

/// One column within one bin; NaN where there was nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cell {
    pub low: f64,
    pub high: f64,
    pub lower: f64,
    pub upper: f64,
}

impl Cell {
    const EMPTY: Self = Self { low: f64::NAN, high: f64::NAN, lower: f64::NAN, upper: f64::NAN };

    fn merge(&mut self, other: &Self) {
        // `min` and `max` pass over a NaN on either side.
        self.low = self.low.min(other.low);
        self.high = self.high.max(other.high);
        self.lower = self.lower.min(other.lower);
        self.upper = self.upper.max(other.upper);
    }
}

/// What happened within one bin.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Mark {
    /// There was a row, with or without a value.
    pub seen: bool,
    pub anomalous: bool,
    pub incident: Option<u64>,
}

/// The bins of all columns. When they would become too many, each two become one.
#[derive(Clone, Debug)]
pub(super) struct Bins {
    columns: usize,
    start: i64,
    width: i64,
    latest: i64,
    marks: Vec<Mark>,
    /// `[bin][column]`.
    cells: Vec<Cell>,
}

impl Bins {
    pub(super) fn new(columns: usize) -> Self {
        Self { columns, start: 0, width: 1, latest: 0, marks: Vec::new(), cells: Vec::new() }
    }

    /// Adds a row; `at` does not go back. The band belongs to one of the columns.
    pub(super) fn add(&mut self, at: i64, values: &[f64], mark: Mark, band: Option<(usize, f64, f64)>) {
        if self.marks.is_empty() {
            self.start = at;
        }
        self.latest = at;
        let offset = at.saturating_sub(self.start).max(0);
        while offset / self.width >= MOST as i64 {
            self.halve();
        }
        let index = (offset / self.width) as usize;
        if index >= self.marks.len() {
            self.marks.resize(index + 1, Mark::default());
            self.cells.resize((index + 1) * self.columns, Cell::EMPTY);
        }
        let kept = &mut self.marks[index];
        kept.seen = true;
        kept.anomalous |= mark.anomalous;
        kept.incident = kept.incident.or(mark.incident);
        for (column, value) in values.iter().enumerate().take(self.columns) {
            let band = band.filter(|(of, ..)| *of == column);
            let (lower, upper) = band.map_or((f64::NAN, f64::NAN), |(_, lower, upper)| (lower, upper));
            self.cells[index * self.columns + column].merge(&Cell { low: *value, high: *value, lower, upper });
        }
    }

    fn halve(&mut self) {
        self.width = self.width.saturating_mul(2);
        let bins = self.marks.len().div_ceil(2);
        for index in 0..bins {
            let mut mark = self.marks[2 * index];
            let second = self.marks.get(2 * index + 1).copied().unwrap_or_default();
            mark.seen |= second.seen;
            mark.anomalous |= second.anomalous;
            mark.incident = mark.incident.or(second.incident);
            self.marks[index] = mark;
            for column in 0..self.columns {
                let mut cell = self.cells[2 * index * self.columns + column];
                if let Some(second) = self.cells.get((2 * index + 1) * self.columns + column) {
                    cell.merge(second);
                }
                self.cells[index * self.columns + column] = cell;
            }
        }
        self.marks.truncate(bins);
        self.cells.truncate(bins * self.columns);
    }

    /// First and last row, milliseconds since the Unix epoch.
    pub(super) fn extent(&self) -> (i64, i64) {
        (self.start, self.latest)
    }

    /// The bins with a row: middle (milliseconds since the Unix epoch), mark, and the cell of one column.
    pub(super) fn of_column(&self, column: usize) -> impl Iterator<Item = (i64, Mark, Cell)> {
        self.marks.iter().enumerate().filter(|(_, mark)| mark.seen).map(move |(index, mark)| {
            let middle = self.start.saturating_add(self.width.saturating_mul(index as i64) + self.width / 2);
            (middle, *mark, self.cells[index * self.columns + column])
        })
    }

    /// The same in so many bins of equal time; `None` where there was no row.
    pub(super) fn spread(&self, column: usize, bins: usize) -> Vec<Option<(Mark, Cell)>> {
        let (from, to) = self.extent();
        let mut spread: Vec<Option<(Mark, Cell)>> = vec![None; bins];
        let width = (to.saturating_sub(from) as f64 / bins.max(1) as f64).max(1.0);
        for (at, mark, cell) in self.of_column(column) {
            let index = ((at.saturating_sub(from) as f64 / width) as usize).min(bins.saturating_sub(1));
            match spread.get_mut(index) {
                Some(Some((marked, merged))) => {
                    marked.anomalous |= mark.anomalous;
                    marked.incident = marked.incident.or(mark.incident);
                    merged.merge(&cell);
                }
                Some(empty) => *empty = Some((mark, cell)),
                None => {}
            }
        }
        spread
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn many_rows_take_no_more_room_than_the_bins_and_lose_no_extreme() {
        let mut bins = Bins::new(1);
        for row in 0..100_000_i64 {
            let value = if row == 77_777 { 1e9 } else { (row % 10) as f64 };
            let mark = Mark { seen: true, anomalous: row == 77_777, incident: (row == 77_777).then_some(1) };
            bins.add(1_772_323_200_000 + row * 10_000, &[value], mark, Some((0, -1.0, 12.0)));
        }
        assert!(bins.marks.len() <= MOST && bins.marks.len() > MOST / 4, "{}", bins.marks.len());
        let cells: Vec<(i64, Mark, Cell)> = bins.of_column(0).collect();
        assert!(cells.iter().all(|(.., cell)| cell.low >= 0.0 && (cell.lower, cell.upper) == (-1.0, 12.0)));
        assert_eq!(cells.iter().filter(|(_, mark, cell)| mark.anomalous && cell.high > 1e8).count(), 1);
        assert_eq!(bins.spread(0, 60).iter().flatten().filter(|(mark, _)| mark.incident == Some(1)).count(), 1);
    }

    proptest! {
        #[test]
        fn any_rows_are_kept_within_bounds(rows in proptest::collection::vec((any::<i64>(), any::<f64>()), 0..50)) {
            let mut rows = rows;
            rows.sort_by_key(|(at, _)| *at);
            let mut bins = Bins::new(1);
            for (at, value) in &rows {
                bins.add(*at, &[*value], Mark::default(), None);
            }
            let bounded = bins.marks.len() <= MOST;
            prop_assert!(bounded);
            prop_assert_eq!(bins.spread(0, 7).len(), 7);
            prop_assert_eq!(rows.is_empty(), bins.of_column(0).next().is_none());
        }
    }
}
