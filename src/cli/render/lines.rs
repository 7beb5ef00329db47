//! Tables that the controller lays out itself: rows of words, the heads first.

use serde_json::{Map, Value};

use super::Sheet;
use super::quantity::{Clock, rfc3339};
use crate::cli::table::Column;
use crate::model::time::WallTime;

/// Columns whose cells are seconds since 1970.
const TIME_COLUMNS: [&str; 2] = ["TIME", "EXPIRES"];

/// The table; its heads are its first row, so it is printed without a header of its own.
pub fn lines_table(lines: &[Vec<String>], clock: &Clock) -> Sheet {
    let lines = with_times(lines, |time| clock.local(time));
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
    let lines = with_times(lines, |time| rfc3339(time).unwrap_or_default());
    let Some((heads, rows)) = lines.split_first() else { return Value::Array(Vec::new()) };
    let names: Vec<String> =
        heads.iter().map(|head| head.to_ascii_lowercase().replace([' ', '-'], "_")).collect();
    let object = |row: &Vec<String>| {
        let cells = names.iter().cloned().zip(row.iter().cloned().map(Value::String));
        Value::Object(cells.collect::<Map<_, _>>())
    };
    Value::Array(rows.iter().map(object).collect())
}

/// The moment in a cell of a time column.
fn time_in(cell: &str) -> Option<WallTime> {
    cell.parse::<i64>().ok().and_then(|seconds| seconds.checked_mul(1_000_000)).map(WallTime)
}

fn with_times(lines: &[Vec<String>], write: impl Fn(WallTime) -> String) -> Vec<Vec<String>> {
    let is_time = |at: usize| {
        let head = lines.first().and_then(|heads| heads.get(at));
        head.is_some_and(|head| TIME_COLUMNS.iter().any(|name| head.eq_ignore_ascii_case(name)))
    };
    let cell = |(at, cell): (usize, &String)| match time_in(cell).filter(|_| is_time(at)) {
        Some(time) => write(time),
        None => cell.clone(),
    };
    lines.iter().map(|row| row.iter().enumerate().map(cell).collect()).collect()
}
