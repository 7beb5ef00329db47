//! What users type and see: arguments, batch scripts, requests, tables, errors with hints. Nothing here talks to a
//! controller.

pub mod args;
pub mod error;
pub mod json;
pub mod moment;
pub mod options;
pub mod render;
pub mod request;
pub mod script;
pub mod table;
pub mod text;
