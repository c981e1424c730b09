//! Estimates from the catalogue: selectivity of a column, cost of reading through an index, size and build time of one.

use super::looked::{ColumnFacts, TableFacts};

/// Bytes of a page.
const PAGE: f64 = 8192.0;
/// PostgreSQL's default costs (`random_page_cost`, `seq_page_cost`, `cpu_*_cost`): the advice must not depend on a
/// setting that someone turned.
const RANDOM_PAGE: f64 = 4.0;
const SEQUENTIAL_PAGE: f64 = 1.0;
const CPU_PER_ROW: f64 = 0.01 + 0.005 + 0.0025;
/// One descent of a btree: one leaf page and 50 operator calls a level (`genericcostestimate`, `btcostestimate`).
const DESCENT: f64 = RANDOM_PAGE + 3.0 * 50.0 * 0.0025;
/// Share of a leaf page that a new btree fills.
const FILL: f64 = 0.9;
/// Selectivity of one bound with an unknown value: `DEFAULT_INEQ_SEL` of `selfuncs.h`.
pub const OPEN_RANGE: f64 = 1.0 / 3.0;
/// Selectivity of two bounds with unknown values: `DEFAULT_RANGE_INEQ_SEL` of `selfuncs.h`.
pub const CLOSED_RANGE: f64 = 0.005;
/// Bytes per second that a concurrent build gets through, its two reads of the table and its write of the index added.
/// Measured on PostgreSQL 15, two cores: 240 to 600 MB/s on an idle server with the table in memory (3 million rows,
/// 328 MB: 1.2 to 3.0 s), 26 MB/s on a saturated one (500,000 rows: 3.5 s). Near the slow end: the safe side.
pub const BUILD_BYTES_PER_SECOND: f64 = 40e6;

/// Expected share of rows that hold one value of the column, when values are asked for as often as they occur:
/// `f² + (1 − n − f)² / (d − 1)`, where f is the share of the most common value, n that of NULL, d the number of
/// distinct values. At least PostgreSQL's own `(1 − n) / d` (`var_eq_non_const`), more where one value dominates.
/// `None` without statistics.
pub fn equality_selectivity(column: &ColumnFacts, rows: f64) -> Option<f64> {
    let distinct = match column.n_distinct? {
        share if share < 0.0 => -share * rows,
        count => count,
    }
    .max(1.0);
    let present = (1.0 - column.null_fraction.unwrap_or_default()).clamp(0.0, 1.0);
    let even = present / distinct;
    let common = column.most_common_frequency.unwrap_or(even).clamp(0.0, 1.0);
    let rest = (present - common).max(0.0);
    let drawn = common * common + rest * rest / (distinct - 1.0).max(1.0);
    Some(drawn.max(even).clamp(0.0, 1.0))
}

/// Cost of fetching `rows` rows of a table through an index with `descents` descents, in the planner's units: pages by
/// Mackert and Lohman as `index_pages_fetched` does, price of a page between random and sequential as
/// `cost_bitmap_heap_scan` does. Rows are taken to lie anywhere, the worst case.
pub fn index_cost(table: &TableFacts, rows: f64, descents: f64) -> f64 {
    let pages = (table.bytes as f64 / PAGE).max(1.0);
    let fetched = (2.0 * pages * rows / (2.0 * pages + rows)).min(pages).max(1.0);
    let price = if fetched < 2.0 {
        RANDOM_PAGE
    } else {
        RANDOM_PAGE - (RANDOM_PAGE - SEQUENTIAL_PAGE) * (fetched / pages).sqrt()
    };
    // Descents share inner pages; beyond the table's own pages they find everything in memory.
    descents.max(1.0).min(pages) * DESCENT + fetched * price + rows * CPU_PER_ROW
}

/// Size of a btree in bytes: rows × (entry, its 8-byte header and 4-byte line pointer) / 0.9, an entry aligned to 8
/// bytes. Deduplication (PostgreSQL 13+) makes it smaller for repeated keys, never larger: the safe side.
pub fn index_bytes(table: &TableFacts, columns: &[String]) -> i64 {
    let width: f64 =
        columns.iter().map(|name| table.column(name).and_then(|column| column.average_width).unwrap_or(8.0)).sum();
    let entry = ((8.0 + width) / 8.0).ceil() * 8.0 + 4.0;
    (table.rows.max(0.0) * entry / FILL).max(PAGE) as i64
}

/// Time of `CREATE INDEX CONCURRENTLY` in seconds: two reads of the table and one write of the index at
/// [`BUILD_BYTES_PER_SECOND`], and half a second for its three transactions.
pub fn build_seconds(table_bytes: i64, index_bytes: i64) -> f64 {
    0.5 + (2.0 * table_bytes as f64 + index_bytes as f64) / BUILD_BYTES_PER_SECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(n_distinct: f64, null_fraction: f64, most_common: Option<f64>) -> ColumnFacts {
        ColumnFacts {
            name: "c".into(),
            n_distinct: Some(n_distinct),
            null_fraction: Some(null_fraction),
            most_common_frequency: most_common,
            average_width: Some(4.0),
            ..ColumnFacts::default()
        }
    }

    #[test]
    fn selectivity_follows_the_distribution() {
        let close = |found: Option<f64>, expected: f64| {
            assert!((found.expect("an estimate") - expected).abs() < expected * 0.02 + 1e-12, "{found:?} {expected}");
        };
        close(equality_selectivity(&column(10_000.0, 0.0, None), 1e6), 1e-4);
        close(equality_selectivity(&column(-1.0, 0.0, None), 1e6), 1e-6);
        close(equality_selectivity(&column(100.0, 0.5, None), 1e6), 0.005);
        close(equality_selectivity(&column(20.0, 0.0, Some(0.95)), 1e6), 0.9025);
        close(equality_selectivity(&column(1_000.0, 0.0, Some(0.1)), 1e6), 0.0108);
        assert_eq!(equality_selectivity(&ColumnFacts::default(), 1e6), None);
    }

    #[test]
    fn an_index_is_cheap_for_few_rows_and_dear_for_many() {
        let table = TableFacts { rows: 300_000.0, bytes: 20_480_000, ..TableFacts::default() };
        assert!(index_cost(&table, 30.0, 1.0) < 150.0);
        assert!(index_cost(&table, 150_000.0, 1.0) > 2_500.0 + 150_000.0 * 0.01);
    }

    #[test]
    fn size_grows_with_rows_and_width() {
        let mut table = TableFacts { rows: 300_000.0, bytes: 20_480_000, ..TableFacts::default() };
        table.columns = vec![ColumnFacts { average_width: Some(4.0), name: "a".into(), ..ColumnFacts::default() }];
        assert_eq!(index_bytes(&table, &["a".into()]), (300_000.0 * 20.0 / 0.9) as i64);
        assert!(build_seconds(20_480_000, 6_666_666) > 0.5);
    }
}
