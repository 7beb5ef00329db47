//! The zone of times in tables.

use std::path::{Component, Path};

use jiff::tz::TimeZone;

const LOCAL: &str = "/etc/localtime";
const ZONES: &str = "/usr/share/zoneinfo";

/// The caller's zone: what `TZ` names, else the system's. Its one file is read directly: the library would first
/// list all zones that there are, which takes longer than all else that most commands do.
pub fn local() -> TimeZone {
    let wanted = std::env::var("TZ").unwrap_or_default();
    read(&wanted).unwrap_or_else(TimeZone::system)
}

fn read(wanted: &str) -> Option<TimeZone> {
    let name = wanted.strip_prefix(':').unwrap_or(wanted);
    let file = match name {
        "" => Path::new(LOCAL).to_path_buf(),
        name if Path::new(name).components().all(|part| matches!(part, Component::Normal(_))) => {
            Path::new(ZONES).join(name)
        }
        _ => return None,
    };
    TimeZone::tzif(if name.is_empty() { "Local" } else { name }, &std::fs::read(file).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn a_named_zone_is_what_the_library_says_it_is() {
        let name = "America/New_York";
        let (Some(here), Ok(theirs)) = (read(name), TimeZone::get(name)) else {
            // No zones on this machine.
            return;
        };
        for seconds in [0, 1_700_000_000, 1_720_000_000, 4_000_000_000] {
            let moment = Timestamp::from_second(seconds).unwrap();
            assert_eq!(here.to_offset(moment), theirs.to_offset(moment));
        }
        assert!(read("../../../etc/localtime").is_none() && read("EST5EDT,M3.2.0,M11.1.0").is_none());
    }
}
