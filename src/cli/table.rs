//! Plain columns as Slurm prints them: no borders, one line a row, and no cell cut unless a terminal is too narrow.

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement, Row, Table};

use super::text::escape;

/// The narrowest that a last column becomes on a terminal, in characters, header included.
const LAST_COLUMN_WIDTH_MIN: u16 = 8;

/// From so many rows on, a table that needs no cutting is laid out without comfy-table.
const LARGE_ROWS_MIN: usize = 1_000;

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// What stands above it.
    pub title: &'static str,
    /// Whether its cells are numbers, which stand to the right.
    pub number: bool,
}

impl Column {
    /// A column of words.
    pub const fn words(title: &'static str) -> Column {
        Column { title, number: false }
    }

    /// A column of numbers.
    pub const fn numbers(title: &'static str) -> Column {
        Column { title, number: true }
    }
}

/// How wide a table may be: the terminal's width where standard output is one, otherwise `None`, as wide as it gets.
pub fn terminal_width() -> Option<u16> {
    Table::new().width()
}

/// Writes the table, a newline after each row; no header if `header` is false. With a `width` the last column is cut
/// to fit, ending in `…`. Cells are escaped here.
pub fn render(columns: &[Column], rows: &[Vec<String>], header: bool, width: Option<u16>) -> String {
    if width.is_none() && rows.len() >= LARGE_ROWS_MIN && all_ascii(columns, rows) {
        return render_large(columns, rows, header);
    }
    render_any(columns, rows, header, width)
}

fn render_any(columns: &[Column], rows: &[Vec<String>], header: bool, width: Option<u16>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    if header {
        let mut heads =
            Row::from(columns.iter().map(|column| cell(column.title, column)).collect::<Vec<_>>());
        heads.max_height(1);
        table.set_header(heads);
    }
    for row in rows {
        let cells = row.iter().zip(columns).map(|(text, column)| cell(&escape(text), column));
        let mut row = Row::from(cells.collect::<Vec<_>>());
        row.max_height(1);
        table.add_row(row);
    }
    if rows.is_empty() && !header {
        return String::new();
    }
    let widths = table.column_max_content_widths();
    for column in table.column_iter_mut() {
        column.set_padding((0, 1));
    }
    if let Some(width) = width {
        fit(&mut table, &widths, width);
    }
    let mut text = String::new();
    for line in table.trim_fmt().lines() {
        text.push_str(line);
        text.push('\n');
    }
    text
}

fn all_ascii(columns: &[Column], rows: &[Vec<String>]) -> bool {
    let plain = |byte: &u8| matches!(byte, b' '..=b'~');
    rows.iter().flatten().all(|cell| cell.as_bytes().iter().all(plain))
        && columns.iter().all(|column| column.title.is_ascii())
}

/// The same table for cells of which each byte is a column wide and nothing needs escaping: a listing of a hundred
/// thousand jobs must not take longer to lay out than to fetch.
fn render_large(columns: &[Column], rows: &[Vec<String>], header: bool) -> String {
    let titles = columns.iter().map(|column| if header { column.title.len().max(1) } else { 1 });
    let mut widths: Vec<usize> = titles.collect();
    for row in rows {
        widths.iter_mut().zip(row).for_each(|(width, cell)| *width = (*width).max(cell.len()));
    }
    let mut text = String::with_capacity(rows.len() * (widths.iter().sum::<usize>() + widths.len()));
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let start = text.len();
        for (at, ((cell, column), width)) in cells.zip(columns).zip(&widths).enumerate() {
            if at > 0 {
                text.push(' ');
            }
            let fill = width.saturating_sub(cell.len());
            let (before, after) = if column.number { (fill, 0) } else { (0, fill) };
            text.extend(std::iter::repeat_n(' ', before));
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', after));
        }
        text.truncate(text.trim_end_matches(' ').len().max(start));
        text.push('\n');
    };
    if header {
        line(&mut columns.iter().map(|column| column.title));
    }
    rows.iter().for_each(|row| line(&mut row.iter().map(String::as_str)));
    text
}

fn cell(text: &str, column: &Column) -> Cell {
    let alignment = if column.number { CellAlignment::Right } else { CellAlignment::Left };
    Cell::new(text).set_alignment(alignment)
}

/// Lets the last column alone give way, so that ids and states stay whole.
fn fit(table: &mut Table, widths: &[u16], width: u16) {
    let Some((last, others)) = widths.split_last() else { return };
    let taken = others.iter().fold(0_u16, |sum, width| sum.saturating_add(width.saturating_add(1)));
    let left = width.saturating_sub(taken).max(LAST_COLUMN_WIDTH_MIN);
    if *last < left {
        return;
    }
    table.set_content_arrangement(ContentArrangement::Dynamic).set_truncation_indicator("…");
    table.set_width(taken.saturating_add(left));
    for column in table.column_iter_mut().take(others.len()) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [Column::numbers("JOBID"), Column::words("NAME"), Column::words("REASON")];

    fn rows() -> Vec<Vec<String>> {
        let row =
            |id: &str, name: &str, reason: &str| vec![id.to_owned(), name.to_owned(), reason.to_owned()];
        vec![
            row("7", "short", "Priority"),
            row("123", "a\u{1b}b", "waits for a very long and winding reason"),
        ]
    }

    #[test]
    fn plain_columns_are_never_cut() {
        let text = render(&COLUMNS, &rows(), true, None);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "JOBID NAME     REASON");
        assert_eq!(lines[1], "    7 short    Priority");
        assert_eq!(lines[2], "  123 a\\u{1b}b waits for a very long and winding reason");
        assert_eq!(render(&COLUMNS, &rows(), false, None).lines().count(), 2);
        assert_eq!(render(&COLUMNS, &[], false, None), "");
    }

    #[test]
    fn on_a_narrow_terminal_the_last_column_gives_way() {
        let text = render(&COLUMNS, &rows(), true, Some(30));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[2].starts_with("  123 a\\u{1b}b waits") && lines[2].ends_with('…'), "{text}");
        assert!(lines.iter().all(|line| line.chars().count() <= 30), "{text}");
    }

    proptest::proptest! {
        #[test]
        fn large_tables_look_like_small_ones(
            cells in proptest::collection::vec(("[!-~]{1,4}", "([!-~]([ -~]{0,8}[!-~])?)?", "([!-~]([ -~]{0,8}[!-~])?)?"), 1..6),
            header: bool,
        ) {
            let cells: Vec<Vec<String>> = cells.into_iter().map(|(id, name, reason)| vec![id, name, reason]).collect();
            proptest::prop_assert!(all_ascii(&COLUMNS, &cells));
            proptest::prop_assert_eq!(
                render_large(&COLUMNS, &cells, header),
                render_any(&COLUMNS, &cells, header, None)
            );
        }
    }
}
