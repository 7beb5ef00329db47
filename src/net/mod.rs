//! QUIC between the programs: endpoints with mutual TLS, frames on streams, and when to try again.
//!
//! The controller listens ([`endpoint`]), everybody else dials it ([`client`]). Who is at the other end comes out
//! of the handshake as a [`endpoint::Peer`]. Messages travel as length-prefixed frames ([`frame`]); what they
//! mean is no concern of this room.

pub mod client;
pub mod close;
pub mod dial_error;
pub mod endpoint;
pub mod frame;
pub mod points;
pub mod reconnect;
mod reset_key;
pub mod socket;
#[cfg(test)]
mod tests;
pub mod transport;
mod verify;

/// ALPN of the usual connection: mutual TLS, every request.
pub const ALPN: &[u8] = b"jsched/1";
/// ALPN of joining: no certificate, and nothing but the exchange of a join token for one.
pub const ALPN_JOIN: &[u8] = b"jsched-join/1";
/// The UDP port of the controller where an address names none.
pub const PORT: u16 = 6815;
