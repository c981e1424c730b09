//! `--svg FILE`: the series, its band and the incidents as a picture that stands on its own, light and dark.

use std::fmt::Write as _;

use super::super::series::TimestampFormat;
use super::super::text::clean;
use super::axis::{figure, range, time_ticks, value_ticks};
use super::bins::{Bins, Cell};

const WIDTH: f64 = 960.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 56.0;
const PANEL: f64 = 260.0;
/// Height of each of several panels.
const SMALL_PANEL: f64 = 120.0;
const GAP: f64 = 26.0;
const BOTTOM: f64 = 40.0;
/// Most columns that are drawn.
const MOST_PANELS: usize = 12;
/// A stretch of so many ordinary steps without a row is a gap, not a line.
const GAP_STEPS: f64 = 5.0;

/// Both palettes pass for people who do not tell red from green: blue series, orange incidents.
const STYLE: &str = "\
svg{background:#fff;--ink:#24292f;--dim:#6e7781;--grid:#e4e8ec;--band:#9ec9f5;--line:#0b5cad;--bad:#d9480f}\
@media(prefers-color-scheme:dark){svg{background:#0d1117;--ink:#e6edf3;--dim:#9198a1;--grid:#262c36;--band:#1f4b7a;--line:#79c0ff;--bad:#ff9b54}}\
text{font:12px system-ui,sans-serif;fill:var(--dim)}\
.title{font-size:15px;fill:var(--ink)}\
.grid{stroke:var(--grid)}\
.band{fill:var(--band);fill-opacity:.45}\
.line{fill:none;stroke:var(--line);stroke-width:1.3;stroke-linejoin:round}\
.bad{fill:var(--bad);fill-opacity:.16}\
.edge{stroke:var(--bad);stroke-width:1.5}\
.mark{fill:var(--bad)}";

/// What a picture shows.
pub(super) struct Picture<'a> {
    pub title: &'a str,
    pub subtitle: &'a str,
    /// Name and unit of each column.
    pub columns: Vec<(&'a str, &'a str)>,
    pub bins: &'a Bins,
    /// First and last instant of each incident, and its number.
    pub incidents: Vec<(i64, i64, u64)>,
    pub format: TimestampFormat,
}

impl Picture<'_> {
    /// The whole file.
    pub(super) fn draw(&self) -> String {
        let shown = self.columns.len().min(MOST_PANELS);
        let panel = if shown > 1 { SMALL_PANEL } else { PANEL };
        let height = TOP + shown as f64 * (panel + GAP) - GAP + BOTTOM;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n<title>{0}</title>\n<style>{STYLE}</style>\n\
             <text class=\"title\" x=\"{LEFT}\" y=\"22\">{0}</text>\n<text x=\"{LEFT}\" y=\"40\">{1}</text>\n",
            escape(self.title),
            escape(self.subtitle)
        );
        let legend = [("line", "value"), ("band", "expected band"), ("bad", "incident")];
        for (index, (class, words)) in legend.iter().enumerate() {
            let x = WIDTH - RIGHT - 300.0 + [0.0, 80.0, 212.0][index];
            let _ = match *class {
                "line" => write!(svg, "<path class=\"line\" d=\"M{x} 18h16\"/>"),
                _ => write!(svg, "<rect class=\"{class}\" x=\"{x}\" y=\"12\" width=\"16\" height=\"12\"/>"),
            };
            let _ = writeln!(svg, "<text x=\"{}\" y=\"22\">{words}</text>", x + 21.0);
        }
        for index in 0..shown {
            self.panel(&mut svg, index, TOP + index as f64 * (panel + GAP), panel, shown > 1);
        }
        self.time_axis(&mut svg, height - BOTTOM);
        svg.push_str("</svg>\n");
        svg
    }

    fn x(&self, at: i64) -> f64 {
        let (from, to) = self.bins.extent();
        let span = (to.saturating_sub(from) as f64).max(1.0);
        LEFT + (at.saturating_sub(from) as f64 / span).clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    }

    fn panel(&self, svg: &mut String, column: usize, top: f64, height: f64, named: bool) {
        let (name, unit) = self.columns[column];
        let cells: Vec<(f64, Cell)> = self.bins.of_column(column).map(|(at, _, cell)| (self.x(at), cell)).collect();
        if named {
            let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"{:.1}\">{}</text>", top - 6.0, escape(name));
        }
        let Some((least, most)) = range(cells.iter().map(|(_, cell)| *cell)) else {
            let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"{:.1}\">no value</text>", top + height / 2.0);
            return;
        };
        let y = |edge: f64| top + height - ((edge - least) / (most - least)).clamp(0.0, 1.0) * height;
        for edge in value_ticks(least, most, if named { 2 } else { 5 }) {
            let at = y(edge);
            let _ = writeln!(
                svg,
                "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{:.1}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 8.0,
                at + 4.0,
                escape(&figure(edge, unit))
            );
        }
        for (from, to, number) in &self.incidents {
            let (left, right) = (self.x(*from), self.x(*to));
            let width = (right - left).max(2.0);
            let _ = writeln!(
                svg,
                "<rect class=\"bad\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>\
                 <path class=\"edge\" d=\"M{left:.1} {top:.1}v{height:.1}\"/>"
            );
            if column == 0 {
                let _ = writeln!(
                    svg,
                    "<text class=\"mark\" x=\"{:.1}\" y=\"{:.1}\">{number}</text>",
                    left + 4.0,
                    top + 13.0
                );
            }
        }
        let mut band = String::new();
        let mut line = String::new();
        for run in runs(&cells) {
            let known = |cell: &Cell| !(cell.lower.is_nan() && cell.upper.is_nan());
            for stretch in run.split(|(_, cell)| !known(cell)).filter(|stretch| !stretch.is_empty()) {
                let above = |cell: &Cell| y(if cell.upper.is_nan() { most } else { cell.upper });
                let below = |cell: &Cell| y(if cell.lower.is_nan() { least } else { cell.lower });
                let points = stretch.iter().map(|(x, cell)| (*x, above(cell)));
                let back = stretch.iter().rev().map(|(x, cell)| (*x, below(cell)));
                path(&mut band, points.chain(back));
                band.push('Z');
            }
            path(
                &mut line,
                run.iter().flat_map(|(x, cell)| {
                    let (high, low) = (y(cell.high), y(cell.low));
                    let second = (cell.high > cell.low).then_some((*x, low));
                    std::iter::once((*x, high)).chain(second)
                }),
            );
            if let [(_, cell)] = run
                && cell.high <= cell.low
            {
                // A single point has no length to be seen by.
                line.push_str("h1.5");
            }
        }
        let _ = writeln!(svg, "<path class=\"band\" d=\"{band}\"/><path class=\"line\" d=\"{line}\"/>");
    }

    fn time_axis(&self, svg: &mut String, bottom: f64) {
        let (from, to) = self.bins.extent();
        for (at, text) in time_ticks(from, to, 8, self.format) {
            let x = self.x(at);
            let half = 3.2 * text.len() as f64;
            let anchor = if x - half < 0.0 {
                "start"
            } else if x + half > WIDTH {
                "end"
            } else {
                "middle"
            };
            let _ = writeln!(
                svg,
                "<path class=\"grid\" d=\"M{x:.1} {bottom:.1}v5\"/><text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
                bottom + 20.0,
                escape(&text)
            );
        }
    }
}

/// Stretches with values and without gaps.
fn runs(cells: &[(f64, Cell)]) -> Vec<&[(f64, Cell)]> {
    let mut steps: Vec<f64> = cells.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    steps.sort_by(f64::total_cmp);
    let ordinary = steps.get(steps.len() / 2).copied().unwrap_or(0.0);
    let unbroken = cells.chunk_by(|one, next| next.0 - one.0 <= GAP_STEPS * ordinary.max(1e-9));
    unbroken.flat_map(|run| run.split(|(_, cell)| cell.low.is_nan())).filter(|run| !run.is_empty()).collect()
}

fn path(to: &mut String, points: impl Iterator<Item = (f64, f64)>) {
    for (index, (x, y)) in points.enumerate() {
        let _ = write!(to, "{}{x:.1} {y:.1}", if index == 0 { 'M' } else { 'L' });
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for character in clean(text).chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::bins::Mark;
    use super::*;

    fn drawn(values: &[f64], name: &str) -> String {
        let mut bins = Bins::new(1);
        for (row, value) in values.iter().enumerate() {
            let mark = Mark { seen: true, ..Mark::default() };
            bins.add(1_772_323_200_000 + row as i64 * 60_000, &[*value], mark, Some((0, 8.0, 12.0)));
        }
        let columns = vec![(name, "ms")];
        let incidents = vec![(1_772_323_260_000, 1_772_323_320_000, 1)];
        let format = TimestampFormat::default();
        Picture { title: name, subtitle: "s", columns, bins: &bins, incidents, format }.draw()
    }

    #[test]
    fn the_picture_stands_on_its_own_and_a_name_is_only_a_name() {
        let svg = drawn(&[9.0, 10.0, 30.0, 11.0], "</text><script>alert(1)</script>\u{1b}[2J");
        assert!(svg.starts_with("<svg xmlns=") && svg.ends_with("</svg>\n"));
        assert!(!svg.contains("<script") && !svg.contains('\u{1b}') && !svg.contains("href"), "{svg}");
        for part in
            ["class=\"band\" d=\"M", "class=\"line\" d=\"M", "class=\"bad\"", "prefers-color-scheme:dark", "ms</text>"]
        {
            assert!(svg.contains(part), "{part}");
        }
    }

    proptest! {
        #[test]
        fn any_values_give_numbers_only(values in proptest::collection::vec(any::<f64>(), 0..40)) {
            let values: Vec<f64> = values.into_iter().map(|value| if value.is_finite() { value } else { f64::NAN }).collect();
            let svg = drawn(&values, "v");
            prop_assert!(!svg.contains("NaN"));
            prop_assert!(!svg.contains("inf"));
        }
    }
}
