//! What the commands do: one file each. The doors in `src/bin` call these functions and end with what they return.

mod act;
mod context;
mod failure;
mod hist;
mod list;
mod log;
mod login;
mod queue;
mod selection;
mod set;
mod show;
mod submit;
mod usage;
mod wait;
mod waiting;
mod watch;
mod why;

pub use queue::jqueue;
pub use submit::jsubmit;
