//! Indexes that are a cause of their own: invalid ones, and those that another index makes needless.

use super::looked::{IndexFacts, Looked};
use super::text::printable;

/// Notes invalid and needless indexes of the tables looked at; returns whether there are any of each.
pub(super) fn notes(looked: &Looked, notes: &mut super::Notes) -> (bool, bool) {
    let (mut invalid, mut duplicate) = (false, false);
    for table in &looked.tables {
        let place = printable(&format!("{}.{}", table.schema, table.table), 128);
        for (position, index) in table.indexes.iter().enumerate() {
            let name = printable(&index.name, 63);
            // An index that is being built is not valid either, but nothing is wrong with it.
            if !index.valid && !looked.load.build_running {
                invalid = true;
                let writes = if index.ready { "and still costs every write" } else { "and is of no use" };
                notes.add("invalid index", format!("{name} of {place} is not valid {writes}"));
            }
            let others = table.indexes.iter().enumerate();
            let longer = others.filter(|(other, _)| *other != position).find(|(other, candidate)| {
                is_needless(index, candidate) && (candidate.columns.len() > index.columns.len() || *other < position)
            });
            if let Some((_, longer)) = longer {
                duplicate = true;
                let longer = printable(&longer.name, 63);
                notes.add("duplicate index", format!("{name} of {place} is served by {longer}"));
            }
        }
    }
    (invalid, duplicate)
}

/// Whether everything that `index` can do is done by `other`: a left prefix with the same operator classes, collations
/// and order, without uniqueness, constraint, predicate or expression of its own.
pub fn is_needless(index: &IndexFacts, other: &IndexFacts) -> bool {
    let plain = |index: &IndexFacts| index.valid && !index.partial && index.columns.iter().all(Option::is_some);
    plain(index)
        && plain(other)
        && index.method == "btree"
        && other.method == "btree"
        && !index.unique
        && !index.constraint
        && !index.columns.is_empty()
        && other.columns.starts_with(&index.columns)
        && other.signature.starts_with(&index.signature)
}
