//! For tests: a library to be preloaded (`LD_PRELOAD`) into a daemon. It stands in for the functions of the C library that
//! change files, does what they do by the kernel's own calls, and writes down each change below one folder with its
//! bytes, and each sync when it begins and when it is done. `tests/power_cut` plays that record up to a moment and
//! forgets what was not synced.
//!
//! Variables, all read once:
//!
//! - `JSCHED_RECORD`: the file that the record is appended to; without it nothing is recorded.
//! - `JSCHED_RECORD_BELOW`: the folder, absolute and without links.
//! - `JSCHED_RECORD_BOOT`: a file that is read in place of the kernel's boot id: after a power cut there is another.
//! - `JSCHED_RECORD_DEAF`: syncs of files whose path below the folder begins with this are neither done nor recorded.
//!
//! Unsafe, as all that the loader puts in the place of the C library is: pointers and descriptors come from callers that
//! keep to the contract of these functions, and go to the kernel as they are.

pub mod hooks;
mod record;
