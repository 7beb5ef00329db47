//! Damage: bytes of a real state folder flipped, zeroed, overwritten or cut off, files and folders gone. The state comes
//! back as it was, every row of it, or is refused with the place and the command to go on, and then nothing was changed.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::dice::Dice;
use super::world::disk_after;
use crate::controller::config::Config;
use crate::controller::recovery::{Recovered, RecoveryError, recover};
use crate::controller::restore::restore;
use crate::store::disk::Disk;
use crate::store::disk::real::{LOCK_FILE, RealDisk};
use crate::store::export;
use crate::store::tables::{Order, Table, Tables};
use crate::store::verify::verify;

/// So many times something is damaged on each change; `JSCHED_DAMAGES` has another number.
const CASES: u64 = 200;
/// After so many virtual microseconds a run of the simulator has left something that is worth it.
const RUN_MICROS: u64 = 70_000_000;
/// So many different states are damaged.
const STATES: usize = 3;
/// What a disk loses as a whole, in bytes.
const BLOCK_BYTES: u64 = 4096;
/// Zeros that are left behind the last frame, in bytes.
const ZEROS_BYTES: usize = 6_000;

type Rows = BTreeMap<(u8, Vec<u8>), Vec<u8>>;

/// A sound state folder, and all that is in it.
struct Sound {
    folder: TempDir,
    rows: Rows,
    files: Vec<String>,
    /// What the exports name.
    listed: Vec<String>,
}

impl Sound {
    /// What a run leaves, if its journal was trimmed behind two exports.
    fn make(seed: u64) -> Option<Sound> {
        let disk = disk_after(seed, RUN_MICROS);
        let folder = tempfile::tempdir().unwrap();
        for inner in ["", "journal", "exports", "content", "output"] {
            fs::create_dir_all(folder.path().join(inner)).unwrap();
            for name in disk.list(inner).unwrap_or_default() {
                let path = if inner.is_empty() { name } else { format!("{inner}/{name}") };
                fs::write(folder.path().join(&path), disk.contents(&path).unwrap()).unwrap();
            }
        }
        let mut recovered = recover(folder.path()).ok()?;
        if recovered.opened.start.0 == 1 || recovered.tables.exports().all().len() < 2 {
            return None;
        }
        let rows = rows_of(&recovered);
        let exports = recovered.tables.exports().all().iter();
        let listed =
            exports.flat_map(|manifest| export::files(manifest).map(|note| note.path.clone())).collect();
        recovered.tables.stop().unwrap();
        drop(recovered);
        fs::remove_file(folder.path().join(LOCK_FILE)).unwrap();
        let files = files(folder.path());
        for file in files.iter().filter(|file| file.starts_with("journal/") && !file.ends_with("mark")) {
            // What is allocated ahead is long, and much of it makes the test slow alone.
            let path = folder.path().join(file);
            let mut bytes = fs::read(&path).unwrap();
            let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            bytes.truncate(used + ZEROS_BYTES);
            fs::write(&path, bytes).unwrap();
        }
        Some(Sound { folder, rows, files, listed })
    }

    fn copy(&self) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        for file in &self.files {
            let to = copy.path().join(file);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(self.folder.path().join(file), to).unwrap();
        }
        copy
    }
}

/// All files below a folder, sorted.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(inner) = folders.pop() {
        for entry in fs::read_dir(folder.join(&inner)).unwrap() {
            let entry = entry.unwrap();
            let path = inner.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else {
                found.push(path.to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// Everything that the tables hold, history too.
fn rows_of(recovered: &Recovered) -> Rows {
    try_rows_of(recovered).expect("the tables can be read")
}

fn try_rows_of(recovered: &Recovered) -> Option<Rows> {
    let reader = recovered.tables.reader();
    let mut rows = Rows::new();
    for table in 1..=255 {
        let found = reader.range(Table(table), Bound::Unbounded, Bound::Unbounded, Order::Up, usize::MAX);
        rows.extend(found.ok()?.into_iter().map(|(key, value)| ((table, key), value)));
    }
    Some(rows)
}

/// Damages something; says what, and in which file.
fn damage(dice: &mut Dice, folder: &Path, sound: &Sound) -> (String, String) {
    let of = |prefix: &str| sound.files.iter().filter(|file| file.starts_with(prefix)).collect::<Vec<_>>();
    // Each kind of file as often as the others, however many there are of it.
    let kind = ["journal/0", "journal/mark", "exports/", "tables/", "cluster"][dice.below(5) as usize];
    let candidates = of(kind);
    let file = candidates[dice.below(candidates.len() as u64) as usize].clone();
    let path = folder.join(&file);
    let mut bytes = fs::read(&path).unwrap();
    let length = bytes.len() as u64;
    let at = dice.below(length.max(1));
    let block = |at: u64| {
        (at / BLOCK_BYTES * BLOCK_BYTES) as usize..((at / BLOCK_BYTES + 1) * BLOCK_BYTES).min(length) as usize
    };
    let what = match dice.below(12) {
        0..=4 if length > 0 => {
            bytes[at as usize] ^= 1 << dice.below(8);
            format!("a bit at {at}")
        }
        5..=6 => {
            bytes[block(at)].fill(0);
            format!("zeros in the block at {at}")
        }
        7 => {
            bytes[at as usize..].fill(0);
            format!("zeros from {at} on")
        }
        8 => {
            for byte in &mut bytes[block(at)] {
                *byte = dice.below(256) as u8;
            }
            format!("other bytes in the block at {at}")
        }
        9..=10 => {
            bytes.truncate(at as usize);
            format!("cut at {at}")
        }
        _ => {
            fs::remove_file(&path).unwrap();
            return (file, "the file is gone".to_owned());
        }
    };
    fs::write(&path, bytes).unwrap();
    (file, what)
}

/// The report of `jctld verify` on the folder, if it finds anything.
fn found_by_verify(folder: &Path) -> Option<String> {
    let disk = RealDisk::open(folder).unwrap();
    match verify(&disk) {
        Ok(report) => (!report.is_sound()).then(|| report.to_string()),
        Err(error) => Some(error.to_string()),
    }
}

fn refused(folder: &Path) -> Result<Recovered, String> {
    recover(folder).map_err(|error: RecoveryError| error.to_string())
}

/// One case: what is wrong about it.
fn case(dice: &mut Dice, sound: &Sound, counts: &mut BTreeMap<String, u32>) -> Result<(), String> {
    let copy = sound.copy();
    let folder = copy.path();
    let (file, what) = damage(dice, folder, sound);
    let kind = file
        .trim_end_matches(|c: char| c.is_ascii_digit())
        .rsplit_once('/')
        .map_or(file.as_str(), |(kind, _)| kind);
    let complain = |why: String| Err(format!("{file}, {what}: {why}"));
    let unsound = found_by_verify(folder);
    // What no manifest names is a piece of history that is being written, of which the next export makes a new one.
    let shows = file == "cluster" || sound.listed.contains(&file);
    if shows && unsound.is_none() {
        return complain("`jctld verify` found nothing".to_owned());
    }
    if dice.below(3) == 0 {
        // As after a power cut: the tables must come from the rest.
        fs::remove_dir_all(folder.join("tables")).unwrap();
    }
    let before = contents(folder);
    match refused(folder) {
        Ok(recovered) => {
            let recovered = match try_rows_of(&recovered) {
                Some(_) => recovered,
                // History shows its damage to who reads it; the next start has all of it again.
                None => {
                    drop(recovered);
                    *counts.entry(format!("{kind}: seen when it was read")).or_default() += 1;
                    recover(folder)
                        .map_err(|error| format!("{file}, {what}: at the second start: {error}"))?
                }
            };
            let rows = rows_of(&recovered);
            if rows != sound.rows {
                let (have, had) = (rows.len(), sound.rows.len());
                return complain(format!("{have} rows of {had} came back, or others; {}", recovered.words));
            }
            let aside = recovered.words.contains("set aside") || recovered.words.contains("built anew");
            *counts.entry(format!("{kind}: {}", if aside { "rebuilt" } else { "as it was" })).or_default() +=
                1;
            Ok(())
        }
        Err(words) => {
            *counts.entry(format!("{kind}: refused")).or_default() += 1;
            if !words.contains("jctld ") {
                return complain(format!("no command to go on with: {words}"));
            }
            let name = file.rsplit('/').next().unwrap_or(&file);
            let names =
                words.contains(name) || words.contains("are missing") || words.contains("begins at group");
            if !names {
                return complain(format!("no place: {words}"));
            }
            if unsound.is_none() {
                return complain(format!("`jctld verify` found nothing, and yet: {words}"));
            }
            let after = contents(folder);
            // The journal is opened first, and then has another segment.
            let opened = words.contains("can't be believed");
            let same = |path: &String| {
                after.get(path) == before.get(path) || (opened && path.starts_with("journal/"))
            };
            if let Some(path) = before.keys().find(|path| !same(path)) {
                return complain(format!("it was refused, and {path} was changed: {words}"));
            }
            if file != "cluster" {
                restored(folder, sound).or_else(|why| complain(format!("restored from there: {why}")))?;
            }
            // What was broken is put back, and all is there.
            let back = folder.join(&file);
            fs::create_dir_all(back.parent().unwrap()).unwrap();
            fs::copy(sound.folder.path().join(&file), back).unwrap();
            match refused(folder) {
                Ok(recovered) if rows_of(&recovered) == sound.rows => Ok(()),
                Ok(_) => complain("put back, it has other rows".to_owned()),
                Err(words) => complain(format!("put back, it is refused: {words}")),
            }
        }
    }
}

/// The command that a refusal names makes a state of what is left, and says what it gives up.
fn restored(from: &Path, sound: &Sound) -> Result<(), String> {
    let home = tempfile::tempdir().unwrap();
    let settings = home.path().join("jctld.toml");
    Config::new(vec!["127.0.0.1:1".to_owned()]).write_new(&settings).unwrap();
    for folder in ["ca", "controller"] {
        fs::create_dir(home.path().join(folder)).unwrap();
    }
    let said = restore(&settings, from, None).map_err(|error| error.to_string())?.join("\n");
    let again = recover(&home.path().join("state")).map_err(|error| error.to_string())?;
    let rows = rows_of(&again);
    let lost = sound.rows.keys().filter(|row| !rows.contains_key(*row)).count();
    if lost > 0 && !said.contains("given up") { Err(format!("{lost} rows are gone: {said}")) } else { Ok(()) }
}

/// What all files hold but the lock, and the tables, which may be set aside before the journal is looked at.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let counted = |file: &String| file != LOCK_FILE && !file.starts_with("tables");
    files(folder)
        .into_iter()
        .filter(counted)
        .map(|file| (file.clone(), fs::read(folder.join(file)).unwrap()))
        .collect()
}

#[test]
fn damage_is_repaired_or_refused() {
    let cases = std::env::var("JSCHED_DAMAGES").ok().and_then(|text| text.parse().ok()).unwrap_or(CASES);
    let first = std::env::var("JSCHED_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let states: Vec<Sound> = (0..).filter_map(Sound::make).take(STATES).collect();
    states.iter().for_each(|state| println!("{} rows in {:?}", state.rows.len(), state.files));
    let mut counts = BTreeMap::new();
    let mut wrong = Vec::new();
    for seed in first..first + cases {
        let mut dice = Dice::new(seed);
        let sound = &states[seed as usize % STATES];
        if let Err(what) = case(&mut dice, sound, &mut counts) {
            wrong.push(format!("seed {seed}: {what}"));
        }
    }
    println!("{counts:#?}");
    assert!(wrong.is_empty(), "{} of {cases}\n{}", wrong.len(), wrong.join("\n"));
}
