//! The fault simulator: the real core, commit, session, agent, scheduler and store over simulated disks, clocks and
//! links, on one thread in virtual time; everything that happens follows from a seed. See `docs/simulator.md`.
//!
//! What the shells do around these rooms is in small functions here that say which shell they stand for; whatever
//! decides something is the real code.

mod check;
mod client;
mod controller;
mod counts;
mod damage;
mod dial;
mod dice;
mod facts;
mod ghost;
mod host;
mod lease;
mod links;
mod mischief;
mod node;
mod shelf;
mod supervisor;
mod switch;
mod tests;
mod threads;
mod world;
