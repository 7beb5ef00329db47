//! The one choice of cryptography: TLS by ring, always passed explicitly.

use std::sync::{Arc, OnceLock};

use rustls::crypto::CryptoProvider;

/// The provider for every TLS configuration of this program; made once per process.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider())))
}
