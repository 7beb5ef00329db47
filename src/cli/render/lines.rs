//! Tables that the controller lays out itself: rows of words, the heads first.

use serde_json::{Map, Value};

use super::Sheet;
use crate::cli::table::Column;

/// The table; its heads are its first row, so it is printed without a header of its own.
pub fn lines_table(lines: &[Vec<String>]) -> Sheet {
    let width = lines.iter().map(Vec::len).max().unwrap_or(0);
    let filled = |row: &Vec<String>| {
        let mut row = row.clone();
        row.resize(width, String::new());
        row
    };
    Sheet { columns: vec![Column::words(""); width], rows: lines.iter().map(filled).collect() }
}

/// A list of objects, named by the heads in lower snake case.
pub fn lines_json(lines: &[Vec<String>]) -> Value {
    let Some((heads, rows)) = lines.split_first() else { return Value::Array(Vec::new()) };
    let names: Vec<String> =
        heads.iter().map(|head| head.to_ascii_lowercase().replace([' ', '-'], "_")).collect();
    let object = |row: &Vec<String>| {
        let cells = names.iter().cloned().zip(row.iter().cloned().map(Value::String));
        Value::Object(cells.collect::<Map<_, _>>())
    };
    Value::Array(rows.iter().map(object).collect())
}

/// The rows whose cell in that column passes, heads kept; `None` if there is no such column.
pub fn rows_where(
    lines: Vec<Vec<String>>,
    column: &str,
    passes: impl Fn(&str) -> bool,
) -> Option<Vec<Vec<String>>> {
    let at = lines.first()?.iter().position(|head| head.eq_ignore_ascii_case(column))?;
    let mut heads = true;
    let keep = |row: &Vec<String>| std::mem::take(&mut heads) || row.get(at).is_some_and(|cell| passes(cell));
    let mut keep = keep;
    Some(lines.into_iter().filter(|row| keep(row)).collect())
}
