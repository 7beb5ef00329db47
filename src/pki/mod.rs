//! The cluster's own certificate authority: keys, certificates, what they say of their bearer, and the one-use
//! tokens with which somebody gets the first one.
//!
//! The way of a certificate: a [`key::KeyPair`] is made where its owner is; its public half travels in a request
//! ([`request`]), the [`authority::Authority`] signs it for a [`certificate::Subject`], and who bears it is read
//! back by [`certificate::identity_of`]. A [`token::JoinToken`] lets the first request in; [`credentials`] holds
//! what one side of a connection needs. Which tokens are used up and which serials are revoked is no concern of
//! this room: the core keeps that.

pub mod authority;
pub mod certificate;
pub mod credentials;
pub mod crypto;
pub mod file;
pub mod key;
pub mod request;
pub mod token;
