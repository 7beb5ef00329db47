//! The daemon around the core: recovers the state, feeds the core, makes its changes durable, and then tells.

pub mod clock;
pub mod driver;
pub mod history;
pub mod planner;
pub mod published;
pub mod recovery;
pub mod tables_writer;
