//! Turns what the controller says into tables, sentences and JSON. Pure: no terminal, no clock, no colour.

pub mod account;
pub mod act;
pub mod doctor;
pub mod eff;
pub mod format;
#[cfg(test)]
mod golden;
pub mod hist;
pub mod job_field;
pub mod job_json;
pub mod lines;
pub mod node;
pub mod partition;
pub mod quantity;
pub mod receipt;
pub mod request;
#[cfg(test)]
pub(crate) mod sample;
pub mod show;
pub mod status;
pub mod usage;
pub mod whoami;
pub mod why;

use crate::cli::table::Column;
use crate::cli::text::escape;

/// A table before it is laid out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sheet {
    /// Its columns.
    pub columns: Vec<Column>,
    /// The cells, row by row, as they came: [`Sheet::text`] escapes control characters.
    pub rows: Vec<Vec<String>>,
}

impl Sheet {
    /// An empty table; a head that begins with `>` is of a column of numbers, which stand to the right.
    pub fn new(heads: &[&'static str]) -> Sheet {
        let columns = heads.iter().map(|head| match head.strip_prefix('>') {
            Some(title) => Column::numbers(title),
            None => Column::words(head),
        });
        Sheet { columns: columns.collect(), rows: Vec::new() }
    }

    /// The same with these columns alone, in this order; titles that are not there are left out.
    pub fn columns_named(&self, titles: &[&str]) -> Sheet {
        let find = |title: &&str| self.columns.iter().position(|column| column.title == *title);
        let places: Vec<usize> = titles.iter().filter_map(find).collect();
        let pick = |row: &Vec<String>| places.iter().filter_map(|at| row.get(*at).cloned()).collect();
        Sheet {
            columns: places.iter().filter_map(|at| self.columns.get(*at).copied()).collect(),
            rows: self.rows.iter().map(pick).collect(),
        }
    }

    /// Laid out, cut to `width` if there is one.
    pub fn text(&self, header: bool, width: Option<u16>) -> String {
        crate::cli::table::render(&self.columns, &self.rows, header, width)
    }
}

/// Labelled lines, the values under one another: what `show` and `whoami` print. Values are escaped here.
pub fn labelled(lines: &[(&str, String)], indent: &str) -> String {
    let width = lines.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (label, value) in lines {
        let fill = " ".repeat(width - label.chars().count());
        let line = format!("{indent}{label}{fill}  {}", escape(value));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Node names, folded as users write them: `n[1-4,7]`.
pub fn fold_nodes(names: &[String]) -> String {
    crate::model::parse::hostlist::fold(names)
}
