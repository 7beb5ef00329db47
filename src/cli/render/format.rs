//! Reads `-o` and `-S` of `jqueue`: lists of field names, or Slurm's `%.18i %j`.

use std::cmp::Ordering;

use super::Sheet;
use super::job_field::{JOB_FIELDS, JobField, job_field};
use super::quantity::Clock;
use crate::cli::table::Column;
use crate::cli::text::escape;
use crate::wire::info::JobInfo;

/// The widest that a column of Slurm's form may be made.
pub const FIELD_WIDTH_MAX: usize = 1_024;

/// How a listing looks.
pub enum Format {
    /// Columns with heads, as wide as they need to be.
    Columns(Vec<&'static JobField>),
    /// Slurm's: text and fields of given widths.
    Line(Vec<Piece>),
}

/// A piece of Slurm's form.
pub enum Piece {
    /// Text as it stands.
    Text(String),
    /// A field.
    Field {
        /// Which.
        field: &'static JobField,
        /// Exactly so many characters; longer ones are cut, as Slurm does.
        width: Option<usize>,
        /// Filled up on the left.
        right: bool,
    },
}

/// Why a format was refused. Exit code 64.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// No such field.
    #[error("`{0}` is no field of a job")]
    Unknown(String),
    /// `%` and nothing that belongs to it.
    #[error("`{0}` is no field of Slurm's form `%[.][WIDTH]LETTER`")]
    Letter(String),
    /// Too wide.
    #[error("the width {0} is above {FIELD_WIDTH_MAX}")]
    Width(String),
    /// Nothing in it.
    #[error("the list of fields is empty")]
    Empty,
    /// In `show` alone.
    #[error("`{0}` is shown by `jqueue show`, not by the list")]
    OnlyInShow(String),
}

impl Format {
    /// The columns of `jqueue`, or with `-l`.
    pub fn standard(long: bool) -> Format {
        let short =
            "id,partition,name,user,state_code,elapsed_seconds,time_limit_seconds,node_count,cpus,place";
        let all = "id,partition,name,user,account,qos,state,elapsed_seconds,time_limit_seconds,node_count,cpus,\
                   memory_limit_bytes,priority,submit_time,start_time,end_time,exit_code,place";
        Format::Columns((if long { all } else { short }).split(',').filter_map(job_field).collect())
    }

    /// Reads what was given to `-o`.
    ///
    /// # Errors
    /// See [`FormatError`].
    pub fn parse(text: &str) -> Result<Format, FormatError> {
        if text.contains('%') {
            return parse_line(text).map(Format::Line);
        }
        parse_fields(text).map(Format::Columns)
    }

    /// The fields that it shows.
    pub fn fields(&self) -> Box<dyn Iterator<Item = &'static JobField> + '_> {
        match self {
            Format::Columns(fields) => Box::new(fields.iter().copied()),
            Format::Line(pieces) => Box::new(pieces.iter().filter_map(|piece| match piece {
                Piece::Text(_) => None,
                Piece::Field { field, .. } => Some(*field),
            })),
        }
    }

    /// The listing as text, with or without its heads, cut to `width` if there is one.
    pub fn text(&self, jobs: &[JobInfo], clock: &Clock, header: bool, width: Option<u16>) -> String {
        match self {
            Format::Columns(fields) => {
                let column = |field: &&JobField| Column { title: field.header, number: field.right };
                let row = |job: &JobInfo| fields.iter().map(|field| field.value(job, clock)).collect();
                let sheet = Sheet {
                    columns: fields.iter().map(column).collect(),
                    rows: jobs.iter().map(row).collect(),
                };
                sheet.text(header, width)
            }
            Format::Line(pieces) => {
                let head = header.then(|| line(pieces, |field| field.header.to_owned()));
                let rows = jobs
                    .iter()
                    .map(|job| line(pieces, |field| escape(&field.value(job, clock)).into_owned()));
                head.into_iter().chain(rows).map(|line| line + "\n").collect()
            }
        }
    }
}

/// Reads what was given to `-S`: fields, `-` before one turns it round.
///
/// # Errors
/// See [`FormatError`].
pub fn parse_sort(text: &str) -> Result<Vec<(&'static JobField, bool)>, FormatError> {
    let keys: Result<Vec<_>, _> = text
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .map(|word| {
            let (down, name) = match word.strip_prefix('-') {
                Some(name) => (true, name),
                None => (false, word.strip_prefix('+').unwrap_or(word)),
            };
            find(name).map(|field| (field, down))
        })
        .collect();
    keys.and_then(|keys| if keys.is_empty() { Err(FormatError::Empty) } else { Ok(keys) })
}

/// Sorts by the first key, then the next; jobs that are equal stay in order.
pub fn sort(jobs: &mut [JobInfo], keys: &[(&'static JobField, bool)], clock: &Clock) {
    jobs.sort_by(|one, other| {
        keys.iter().fold(Ordering::Equal, |so_far, (field, down)| {
            so_far.then_with(|| {
                let order = field.compare(one, other, clock);
                if *down { order.reverse() } else { order }
            })
        })
    });
}

/// What `-o help` prints.
pub fn help() -> Sheet {
    let mut sheet = Sheet::new(&["FIELD", "SLURM", "COLUMN", "WHAT"]);
    sheet.rows = JOB_FIELDS
        .iter()
        .map(|field| {
            let letter = if field.letter == '\0' { String::new() } else { format!("%{}", field.letter) };
            vec![field.name.to_owned(), letter, field.header.to_owned(), field.about.to_owned()]
        })
        .collect();
    sheet
}

fn parse_fields(text: &str) -> Result<Vec<&'static JobField>, FormatError> {
    let fields: Vec<_> =
        text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(find).collect::<Result<_, _>>()?;
    if fields.is_empty() { Err(FormatError::Empty) } else { Ok(fields) }
}

fn find(word: &str) -> Result<&'static JobField, FormatError> {
    match word {
        "request" | "dependencies" | "timeline" => Err(FormatError::OnlyInShow(word.to_owned())),
        _ => job_field(word).ok_or_else(|| FormatError::Unknown(word.to_owned())),
    }
}

fn parse_line(text: &str) -> Result<Vec<Piece>, FormatError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(percent) = rest.find('%') {
        let (before, after) = (&rest[..percent], &rest[percent + 1..]);
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        let flags = after.len() - after.trim_start_matches(['.', '-']).len();
        let digits = after[flags..].bytes().take_while(u8::is_ascii_digit).count();
        let number = &after[flags..flags + digits];
        let Some(letter) = after[flags + digits..].chars().next() else {
            return Err(FormatError::Letter(format!("%{after}")));
        };
        let whole = &after[..flags + digits + letter.len_utf8()];
        if letter == '%' {
            pieces.push(Piece::Text("%".to_owned()));
        } else {
            let field = JOB_FIELDS
                .iter()
                .find(|field| field.letter == letter)
                .ok_or_else(|| FormatError::Letter(format!("%{whole}")))?;
            let width = if number.is_empty() { None } else { Some(width(number)?) };
            pieces.push(Piece::Field { field, width, right: after[..flags].contains('.') });
        }
        rest = &after[whole.len()..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Ok(pieces)
}

fn width(number: &str) -> Result<usize, FormatError> {
    number
        .parse()
        .ok()
        .filter(|width| *width <= FIELD_WIDTH_MAX)
        .ok_or_else(|| FormatError::Width(number.to_owned()))
}

fn line(pieces: &[Piece], value: impl Fn(&'static JobField) -> String) -> String {
    let mut line = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => line.push_str(text),
            Piece::Field { field, width: None, .. } => line.push_str(&value(field)),
            Piece::Field { field, width: Some(width), right } => {
                let cut: String = value(field).chars().take(*width).collect();
                let fill = " ".repeat(width - cut.chars().count());
                line.push_str(&if *right { fill + &cut } else { cut + &fill });
            }
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn slurms_own_default_and_limits() {
        let Ok(Format::Line(pieces)) = Format::parse("%.18i %.9P %-8j %t|%%") else { panic!("refused") };
        assert_eq!(
            line(&pieces, |field| field.header.to_owned()),
            "             JOBID PARTITION NAME     ST|%"
        );
        assert!(Format::parse(&format!("%{FIELD_WIDTH_MAX}i")).is_ok());
        for (bad, want) in [
            (format!("%{}i", FIELD_WIDTH_MAX + 1), FormatError::Width((FIELD_WIDTH_MAX + 1).to_string())),
            ("%".to_owned(), FormatError::Letter("%".to_owned())),
            ("%.8!".to_owned(), FormatError::Letter("%.8!".to_owned())),
            ("id,nmae".to_owned(), FormatError::Unknown("nmae".to_owned())),
            (",".to_owned(), FormatError::Empty),
            ("request".to_owned(), FormatError::OnlyInShow("request".to_owned())),
        ] {
            assert_eq!(Format::parse(&bad).err(), Some(want));
        }
    }

    #[test]
    fn names_letters_and_heads_are_unambiguous() {
        for field in JOB_FIELDS {
            assert!(std::ptr::eq(job_field(field.name).unwrap(), field), "{}", field.name);
            let same = |other: &&JobField| other.letter == field.letter || other.header == field.header;
            assert!(field.letter == '\0' || JOB_FIELDS.iter().filter(same).count() == 1, "{}", field.name);
        }
    }

    proptest! {
        #[test]
        fn no_format_panics(text in "\\PC{0,40}|[%.0-9ijT é,-]{0,30}") {
            let _ = Format::parse(&text);
            let _ = parse_sort(&text);
        }
    }
}
