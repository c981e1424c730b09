//! Tables as kubectl writes them: upper-case headers, left-aligned columns, three spaces between, nothing behind.

/// How a cell is coloured, where colour is on. The words say the same without it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Tone {
    #[default]
    Plain,
    Good,
    Watch,
    Bad,
}

impl Tone {
    /// Wraps a text in its colour.
    pub(super) fn paint(self, text: &str, colour: bool) -> String {
        let code = match self {
            Self::Plain => return text.to_owned(),
            Self::Good => "32",
            Self::Watch => "33",
            Self::Bad => "31",
        };
        if colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// One cell: cleaned text and its tone.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Cell {
    pub text: String,
    pub tone: Tone,
}

impl Cell {
    pub(super) fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), tone: Tone::Plain }
    }
}

/// Headers and rows.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Table {
    pub headers: Vec<&'static str>,
    pub rows: Vec<Vec<Cell>>,
}

impl Table {
    /// Renders the table; empty without rows, as kubectl does.
    pub(super) fn render(&self, headers: bool, colour: bool) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let header: Vec<Cell> = self.headers.iter().map(|header| Cell::from(*header)).collect();
        let lines: Vec<&Vec<Cell>> = headers.then_some(&header).into_iter().chain(&self.rows).collect();
        let columns = lines.iter().map(|line| line.len()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                lines.iter().filter_map(|line| line.get(column)).map(|cell| shown(cell).chars().count()).max()
            })
            .map(Option::unwrap_or_default)
            .collect();
        let mut text = String::new();
        for line in lines {
            for (column, cell) in line.iter().enumerate() {
                let content = shown(cell);
                text.push_str(&cell.tone.paint(content, colour));
                if column + 1 < line.len() {
                    let padding = widths[column] - content.chars().count() + 3;
                    text.extend(std::iter::repeat_n(' ', padding));
                }
            }
            text.push('\n');
        }
        text
    }
}

// An empty cell would shift the columns for whoever splits a line at its spaces.
fn shown(cell: &Cell) -> &str {
    if cell.text.is_empty() { "<none>" } else { &cell.text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table {
            headers: vec!["NAME", "STATE"],
            rows: vec![vec!["a".into(), Cell::toned("Open", Tone::Bad)], vec!["longer".into(), "".into()]],
        }
    }

    #[test]
    fn columns_are_three_spaces_apart_and_nothing_trails() {
        assert_eq!(table().render(true, false), "NAME     STATE\na        Open\nlonger   <none>\n");
        assert_eq!(table().render(false, false), "a        Open\nlonger   <none>\n");
    }

    #[test]
    fn colour_does_not_move_columns() {
        assert_eq!(table().render(false, true), "a        \u{1b}[31mOpen\u{1b}[0m\nlonger   <none>\n");
    }

    #[test]
    fn no_rows_give_no_header() {
        assert_eq!(Table { headers: vec!["NAME"], rows: vec![] }.render(true, false), "");
    }
}
