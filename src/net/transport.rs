//! The limits of QUIC connections, each with its reason. Quinn's defaults let a peer fill 100 MiB.

use std::sync::Arc;
use std::time::Duration;

use quinn::{IdleTimeout, TransportConfig, VarInt};

/// A connection on which nothing was heard for so long is dead. Connections that wait for something send a
/// packet every [`KEEP_ALIVE`].
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the side that dialled shows that it is there. Lost ones are sent again, so three in a row must
/// be lost before [`IDLE_TIMEOUT`] ends a connection.
pub const KEEP_ALIVE: Duration = Duration::from_secs(3);
/// What one stream may have in flight towards this side.
pub const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// What a whole connection may have in flight towards the controller before it is known who is there, or while
/// joining.
pub const UNKNOWN_WINDOW_BYTES: u32 = 128 << 10;
/// The same from a user, operator or admin, until a large request was given room.
pub const CLIENT_WINDOW_BYTES: u32 = 64 << 10;
/// The same from a node, for a large request, and towards those who dialled.
pub const KNOWN_WINDOW_BYTES: u32 = 8 << 20;
/// What this side keeps of a connection's data that the peer has not acknowledged; beyond it, writes wait.
pub const SEND_WINDOW_BYTES: u64 = 256 << 10;
/// The same towards a node, and of those who dial.
pub const SEND_WINDOW_KNOWN_BYTES: u64 = 8 << 20;
/// Streams in each direction pair that an unknown or joining peer may have open.
pub const UNKNOWN_STREAMS: u32 = 8;
/// The same once the peer is known.
pub const KNOWN_STREAMS: u32 = 256;
/// One-way streams that a peer may have open.
pub const ONE_WAY_STREAMS: u32 = 8;
/// TLS messages out of order that are kept during a handshake. Ours have under 4 KiB.
pub const HANDSHAKE_BYTES_MAX: usize = 16 << 10;

/// Taken for the round trip until it is measured. A lost first packet is sent again after three times this; the
/// standard's third of a second would make a client wait for one.
const ROUND_TRIP_GUESS: Duration = Duration::from_millis(50);

/// For the controller's side. Windows begin small: the endpoint raises them for known peers.
pub(super) fn listening() -> Arc<TransportConfig> {
    let mut config = base();
    config.receive_window(UNKNOWN_WINDOW_BYTES.into());
    config.max_concurrent_bidi_streams(UNKNOWN_STREAMS.into());
    Arc::new(config)
}

/// For the side that dials. It believes the controller, but not without bounds.
pub(super) fn dialling() -> Arc<TransportConfig> {
    let mut config = base();
    config.receive_window(KNOWN_WINDOW_BYTES.into());
    config.max_concurrent_bidi_streams(UNKNOWN_STREAMS.into());
    config.keep_alive_interval(Some(KEEP_ALIVE));
    config.send_window(SEND_WINDOW_KNOWN_BYTES);
    Arc::new(config)
}

fn base() -> TransportConfig {
    let mut config = TransportConfig::default();
    config.max_idle_timeout(Some(IdleTimeout::from(idle_millis())));
    config.stream_receive_window(STREAM_WINDOW_BYTES.into());
    config.send_window(SEND_WINDOW_BYTES);
    config.max_concurrent_uni_streams(ONE_WAY_STREAMS.into());
    config.crypto_buffer_size(HANDSHAKE_BYTES_MAX);
    config.initial_rtt(ROUND_TRIP_GUESS);
    config.datagram_receive_buffer_size(None);
    // Most connections are over after a few packets; looking for a larger packet size would double their number,
    // and long transfers gain little by it.
    config.mtu_discovery_config(None);
    config
}

fn idle_millis() -> VarInt {
    VarInt::from_u32(u32::try_from(IDLE_TIMEOUT.as_millis()).unwrap_or(u32::MAX))
}
