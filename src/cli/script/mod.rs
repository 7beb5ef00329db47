//! A batch script as it was handed in: checked as `sbatch` checks it, and its directives read.

mod words;

use std::rc::Rc;

use super::error::CliError;
use super::options::given::{Given, Source};
use super::options::reader;
use crate::model::spec::SCRIPT_BYTES_MAX;

/// What begins a directive.
const MARKS: [&str; 2] = ["#JSUB", "#SBATCH"];
/// How many lines a warning names.
const LINES_NAMED_MAX: usize = 5;

/// A script that may run.
#[derive(Clone, Debug)]
pub struct Script {
    /// Its bytes, unchanged.
    pub bytes: Vec<u8>,
    /// Its directives in their order.
    pub given: Vec<Given>,
    /// What its owner should know.
    pub warnings: Vec<String>,
}

/// Checks a script and reads its directives; `name` stands in messages.
///
/// # Errors
/// What can't be a batch script (65): empty, too large, a program, DOS line breaks, no `#!`. Directives that can't be
/// read, with their line.
pub fn read(bytes: Vec<u8>, name: &str) -> Result<Script, CliError> {
    check(&bytes).map_err(|error| error.in_file(name))?;
    let file: Rc<str> = name.into();
    let (mut given, mut late) = (Vec::new(), Vec::new());
    let mut commands = false;
    for (number, line) in (1_u32..).zip(bytes.split(|b| *b == b'\n')) {
        let directive = directive(line);
        match directive {
            Some(_) if commands => late.push(number),
            Some(text) => {
                given.extend(read_directive(text, Source::Script { file: file.clone(), line: number })?)
            }
            None => commands |= !matches!(line.trim_ascii_start().first(), None | Some(b'#')),
        }
    }
    Ok(Script { bytes, given, warnings: late_warning(name, &late).into_iter().collect() })
}

fn check(bytes: &[u8]) -> Result<(), CliError> {
    if bytes.is_empty() {
        return Err(CliError::script("empty_script", "the batch script is empty"));
    }
    if bytes.contains(&0) {
        let hint = "to run a program: jsubmit -- PROGRAM ARGS…, or jsubmit --wrap 'LINE'";
        return Err(CliError::script("program_as_script", "this is a program, not a batch script").hint(hint));
    }
    if bytes.len() > SCRIPT_BYTES_MAX {
        let message = format!("the batch script has more than {} MiB", SCRIPT_BYTES_MAX >> 20);
        return Err(
            CliError::script("script_too_large", message).hint("let a short script start it from a file")
        );
    }
    if let Some(at) = bytes.windows(2).position(|pair| pair == b"\r\n") {
        let before = bytes.iter().take(at).filter(|b| **b == b'\n').count();
        let error = CliError::script("dos_line_breaks", "Batch script contains DOS line breaks (\\r\\n)");
        let line = u32::try_from(before + 1).unwrap_or(u32::MAX);
        return Err(error.on_line(line).hint("convert it: sed -i 's/\\r$//' SCRIPT, or dos2unix SCRIPT"));
    }
    if !bytes.starts_with(b"#!") {
        let message =
            "this does not look like a batch script: its first line must begin with #! and an interpreter";
        return Err(CliError::script("no_interpreter", message).on_line(1).hint("for instance: #!/bin/sh"));
    }
    Ok(())
}

/// What follows the mark, if the line is a directive. Slurm wants the mark at the very beginning of the line.
fn directive(line: &[u8]) -> Option<&[u8]> {
    MARKS.iter().find_map(|mark| {
        let rest = line.strip_prefix(mark.as_bytes())?;
        let ends = rest.first().is_none_or(|next| next.is_ascii_whitespace() || *next == b'-');
        ends.then_some(rest)
    })
}

fn read_directive(text: &[u8], source: Source) -> Result<Vec<Given>, CliError> {
    let text =
        std::str::from_utf8(text).map_err(|_| source.error("bad_directive", "the directive is no text"))?;
    let words = words::split(text).map_err(|why| source.error("bad_directive", why.to_string()))?;
    let reading = reader::read(&words, &source)?;
    if let Some(stray) = words.get(reading.used).filter(|_| !reading.dashes) {
        let error = source.error("stray_word", format!("`{stray}` is no option"));
        return Err(error.hint("put a value that holds blanks in quotes, and a comment after ` # `"));
    }
    match reading.given.iter().find(|given| !given.option.in_script) {
        Some(given) => {
            let message = format!("--{} belongs on the command line, not in a script", given.option.long);
            Err(given.error("misplaced_option", message))
        }
        None => Ok(reading.given),
    }
}

fn late_warning(name: &str, late: &[u32]) -> Option<String> {
    let (first, more) = late.split_first()?;
    let lines: Vec<String> = late.iter().take(LINES_NAMED_MAX).map(u32::to_string).collect();
    let dots = if late.len() > LINES_NAMED_MAX { ", …" } else { "" };
    Some(match more.is_empty() {
        true => format!("{name} line {first}: a directive after the first command is not read"),
        false => format!(
            "{name} lines {}{dots}: directives after the first command are not read",
            lines.join(", ")
        ),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(text: &str) -> Result<Vec<String>, String> {
        let script = read(text.as_bytes().to_vec(), "job.sh").map_err(|error| error.text("jsubmit"))?;
        Ok(script.given.iter().map(|given| format!("{} {}", given.written(), given.source)).collect())
    }

    #[test]
    fn directives_end_at_the_first_command() {
        let text = "#!/bin/bash -l\n\n# words\n#SBATCH -n4 --time=1:00 # both\n##SBATCH --bogus\n  # more\n#JSUB --retry=2\n#SBATCH\n#SBATCHX\necho\n#SBATCH --mem=1G\n";
        assert_eq!(
            written(text).unwrap(),
            ["--ntasks=4 job.sh line 4", "--time=1:00 job.sh line 4", "--retry=2 job.sh line 7"]
        );
        let warnings = read(text.into(), "job.sh").unwrap().warnings;
        assert_eq!(warnings, ["job.sh line 11: a directive after the first command is not read"]);
    }

    #[test]
    fn what_is_no_batch_script() {
        let table = [
            ("", "empty"),
            ("\x7fELF\0", "program"),
            ("#!/bin/sh\necho\r\n", "DOS line breaks (\\r\\n) (job.sh line 2)"),
            ("echo\n", "must begin with #!"),
            (
                "#!/bin/sh\n#SBATCH --gers=1\n",
                "unknown option --gers (job.sh line 2)\n  did you mean --gres?",
            ),
            ("#!/bin/sh\n#SBATCH END\n", "`END` is no option (job.sh line 2)"),
            ("#!/bin/sh\n#SBATCH --wrap=x\n", "belongs on the command line"),
            ("#!/bin/sh\n#SBATCH -J 'open\n", "quote"),
        ];
        for (text, expected) in table {
            let error = written(text).unwrap_err();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }

    #[test]
    fn the_largest_script() {
        let script = |bytes: usize| [&b"#!/bin/sh\n"[..], &vec![b'#'; bytes - 10]].concat();
        assert!(read(script(SCRIPT_BYTES_MAX), "big").is_ok());
        assert_eq!(read(script(SCRIPT_BYTES_MAX + 1), "big").unwrap_err().word, "script_too_large");
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..64), lines in "(#SBATCH .{0,20}\n){0,3}") {
            let _ = read(bytes.clone(), "x");
            let _ = read([b"#!/bin/sh\n", lines.as_bytes(), &bytes].concat(), "x");
        }
    }
}
