//! What the commands do: one file each. The doors in `src/bin` call these functions and end with what they return.

mod act;
mod admin;
mod admin_user;
mod cancel;
mod context;
mod failure;
mod hist;
mod list;
mod log;
mod login;
mod node;
mod node_act;
mod node_add;
mod node_list;
mod node_wait;
mod partition;
mod queue;
mod selection;
mod set;
mod show;
mod simulate;
mod submit;
mod usage;
mod wait;
mod waiting;
mod watch;
mod why;

pub use admin::admin;
pub use cancel::jcancel;
pub use node::jnode;
pub use queue::jqueue;
pub use simulate::simulate;
pub use submit::jsubmit;
