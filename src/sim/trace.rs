//! Reads workload traces in the Standard Workload Format, plain or compressed.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::number::{NUMBER_MAX, integer_part};

/// Columns of a record.
const FIELDS: usize = 18;

/// The longest line that is read, in bytes.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// The most memory that unpacking xz may take, in KiB; `xz -9` needs 65 MiB.
const XZ_MEMORY_KIB_MAX: u32 = 512 * 1024;

/// A job of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its number in the trace.
    pub id: i64,
    /// When it was submitted, in seconds.
    pub submit: i64,
    /// How long it ran, in seconds; at most `request`.
    pub run: i64,
    /// How long it asked for, in seconds.
    pub request: i64,
    /// Whose it was.
    pub user: i64,
    /// How many processors it takes.
    pub processors: u32,
}

/// Why records are not simulated, and how many for each reason: tested in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// The number of processors is not known.
    pub no_processors: u64,
    /// More processors than the machine has.
    pub too_wide: u64,
    /// It did not run, or it is not known how long.
    pub no_run: u64,
    /// It is not known how long it asked for.
    pub no_request: u64,
    /// Submitted before the trace begins.
    pub early: u64,
}

impl Dropped {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.reasons().iter().map(|(_, _, count)| count).sum()
    }

    /// A word for programs, words for people, and how many.
    pub fn reasons(&self) -> [(&'static str, &'static str, u64); 5] {
        [
            ("no_processors", "processors unknown", self.no_processors),
            ("too_wide", "wider than the machine", self.too_wide),
            ("no_run", "run time not above zero", self.no_run),
            ("no_request", "requested time not above zero", self.no_request),
            ("early", "submitted before second 0", self.early),
        ]
    }
}

/// A trace as it is simulated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// By submission, then number.
    pub jobs: Vec<Job>,
    /// How many processors the machine has.
    pub processors: u32,
    /// How many records there were.
    pub records: u64,
    /// Which of them were dropped.
    pub dropped: Dropped,
    /// How many ran longer than they asked for, and are cut there.
    pub cut: u64,
}

/// Why a trace can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// It can't be read, or its compression is damaged.
    #[error("the trace can't be read: {source}")]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line makes no sense.
    #[error("{what}")]
    Line {
        /// In which trace.
        file: PathBuf,
        /// Which, counted from 1.
        line: u64,
        /// What is wrong.
        what: String,
    },
    /// The size of the machine is not known.
    #[error("the header has neither MaxProcs nor MaxNodes")]
    NoSize {
        /// In which trace.
        file: PathBuf,
    },
}

/// Reads the trace of a machine that has so many processors, or as many as its header says.
///
/// # Errors
/// [`TraceError`].
pub fn read(file: &Path, processors: Option<u32>) -> Result<Trace, TraceError> {
    let unreadable = |source| TraceError::Unreadable { file: file.to_owned(), source };
    let open = || {
        let opened = File::open(file)?;
        if opened.metadata()?.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Ok(BufReader::new(opened))
    };
    let mut raw = open().map_err(unreadable)?;
    let magic = raw.fill_buf().map_err(unreadable)?;
    let text: Box<dyn Read> = if magic.starts_with(&GZIP_MAGIC) {
        Box::new(flate2::bufread::MultiGzDecoder::new(raw))
    } else if magic.starts_with(&XZ_MAGIC) {
        Box::new(lzma_rust2::XzReader::new_mem_limit(raw, true, XZ_MEMORY_KIB_MAX))
    } else {
        Box::new(raw)
    };
    read_text(file, text, processors)
}

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const XZ_MAGIC: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0];

/// The same from text that was opened already; `file` is for words of error.
///
/// # Errors
/// [`TraceError`].
pub fn read_text(file: &Path, text: impl Read, processors: Option<u32>) -> Result<Trace, TraceError> {
    let mut lines = BufReader::with_capacity(1 << 18, text);
    let (mut jobs, mut size) = (Vec::new(), Size::default());
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let wrong = |what| TraceError::Line { file: file.to_owned(), line: number, what };
        let mut limited = (&mut lines).take(LINE_BYTES_MAX as u64 + 1);
        let read = limited.read_until(b'\n', &mut line);
        read.map_err(|source| TraceError::Unreadable { file: file.to_owned(), source })?;
        if line.is_empty() {
            break;
        }
        if line.trim_ascii_end().len() > LINE_BYTES_MAX
            || (line.len() > LINE_BYTES_MAX && !line.ends_with(b"\n"))
        {
            return Err(wrong(format!("longer than {LINE_BYTES_MAX} bytes")));
        }
        match line.trim_ascii() {
            [] => {}
            [b';', header @ ..] => size.hear(header),
            record => jobs.push(job(record).map_err(wrong)?),
        }
    }
    let processors = processors.or_else(|| size.processors());
    let processors = processors.ok_or_else(|| TraceError::NoSize { file: file.to_owned() })?;
    Ok(sift(jobs, processors))
}

/// What the header says of the machine.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    processors: Option<u32>,
    nodes: Option<u32>,
}

impl Size {
    fn hear(&mut self, header: &[u8]) {
        let number = |rest: &[u8]| {
            let word = rest.split(|byte| !byte.is_ascii_digit()).find(|word| !word.is_empty());
            word.and_then(integer_part).and_then(|number| u32::try_from(number).ok()).filter(|size| *size > 0)
        };
        let header = header.trim_ascii();
        if let Some(rest) = header.strip_prefix(b"MaxProcs:") {
            self.processors = number(rest).or(self.processors);
        } else if let Some(rest) = header.strip_prefix(b"MaxNodes:") {
            self.nodes = number(rest).or(self.nodes);
        }
    }

    fn processors(&self) -> Option<u32> {
        self.processors.or(self.nodes)
    }
}

/// A record with its processors as they stand there: -1 is unknown.
struct Record {
    job: Job,
    processors: i64,
}

fn job(record: &[u8]) -> Result<Record, String> {
    let mut fields = [0; FIELDS];
    let mut words = record.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    for (at, field) in fields.iter_mut().enumerate() {
        let word = words.next().ok_or_else(|| format!("{at} fields where {FIELDS} are expected"))?;
        *field = integer_part(word).ok_or_else(|| {
            let word = String::from_utf8_lossy(word);
            format!("field {} is `{word}`, which is no number of up to {NUMBER_MAX}", at + 1)
        })?;
    }
    let [id, submit, _, run, allocated, _, _, requested, request, _, _, user, ..] = fields;
    let processors = if requested > 0 { requested } else { allocated };
    Ok(Record { job: Job { id, submit, run, request, user, processors: 0 }, processors })
}

/// Sorts, drops and cuts.
fn sift(mut records: Vec<Record>, processors: u32) -> Trace {
    records.sort_by_key(|record| (record.job.submit, record.job.id));
    let mut trace = Trace { processors, records: records.len() as u64, ..Trace::default() };
    let dropped = &mut trace.dropped;
    for Record { mut job, processors: wanted } in records {
        let reason = match u32::try_from(wanted) {
            _ if wanted <= 0 => &mut dropped.no_processors,
            Ok(wanted) if wanted <= processors => {
                job.processors = wanted;
                if job.run <= 0 {
                    &mut dropped.no_run
                } else if job.request <= 0 {
                    &mut dropped.no_request
                } else if job.submit < 0 {
                    &mut dropped.early
                } else {
                    trace.cut += u64::from(job.run > job.request);
                    job.run = job.run.min(job.request);
                    trace.jobs.push(job);
                    continue;
                }
            }
            _ => &mut dropped.too_wide,
        };
        *reason += 1;
    }
    trace
}

impl Trace {
    /// Multiplies the gaps between arrivals: 0.9 makes 11 % more load. The first job stays where it is.
    pub fn scale_gaps(&mut self, factor: f64) {
        let Some(first) = self.jobs.first().map(|job| job.submit) else { return };
        for job in &mut self.jobs {
            job.submit = first + ((job.submit - first) as f64 * factor).floor() as i64;
        }
    }
}
