//! How a receiver knows that a request is ours.

use std::fmt::Write;

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The header `Floe-Signature`: the instant, and for each key the HMAC of instant, a dot and the body. While a key is being replaced the receiver may
/// know either.
pub fn signature(key: &[u8], previous: Option<&[u8]>, unix_seconds: i64, body: &[u8]) -> String {
    let mut header = format!("t={unix_seconds}");
    for key in [Some(key), previous].into_iter().flatten() {
        // Keys of every length are allowed, so there is always one.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { continue };
        mac.update(format!("{unix_seconds}.").as_bytes());
        mac.update(body);
        // Writing to a String cannot fail.
        let _ = write!(header, ",v1={:x}", mac.finalize().into_bytes());
    }
    header
}
