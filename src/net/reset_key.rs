//! Keys with which a restarted daemon tells its old peers at once that it has forgotten them.
//!
//! QUIC answers packets of an unknown connection with a stateless reset, which the peer believes only if it
//! follows from the same key as before. So both keys come from the daemon's private key: after kill -9 and a
//! restart, nodes and waiting clients learn of it with the first packet they send, not after the idle time.

use std::sync::Arc;
use std::time::Duration;

use quinn::EndpointConfig;
use quinn::crypto::{CryptoError, HmacKey};
use quinn_proto::HashedConnectionIdGenerator;

/// At most one reset in this time. Packets whose connection id this daemon never gave out get none, so garbage
/// does not use them up; a reset is always smaller than the packet that it answers.
const RESET_INTERVAL: Duration = Duration::from_millis(1);
const RESET_CONTEXT: &str = "jsched 2026 stateless reset";
const IDS_CONTEXT: &str = "jsched 2026 connection ids";

/// The configuration of an endpoint whose resets are recognised over restarts.
pub(super) fn endpoint_config(secret: &[u8; 32]) -> EndpointConfig {
    let mut config = EndpointConfig::new(Arc::new(ResetKey(blake3::derive_key(RESET_CONTEXT, secret))));
    let [a, b, c, d, e, f, g, h, ..] = blake3::derive_key(IDS_CONTEXT, secret);
    let ids_key = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(ids_key)));
    config.min_reset_interval(RESET_INTERVAL);
    config
}

struct ResetKey([u8; 32]);

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        blake3::Hasher::new_keyed(&self.0).update(data).finalize_xof().fill(signature_out);
    }

    fn signature_len(&self) -> usize {
        blake3::OUT_LEN
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let given: [u8; blake3::OUT_LEN] = signature.try_into().map_err(|_| CryptoError)?;
        // Comparing hashes of this type takes the same time whatever they are.
        if blake3::keyed_hash(&self.0, data) == given { Ok(()) } else { Err(CryptoError) }
    }
}
