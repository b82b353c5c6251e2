//! Signatures as Standard Webhooks has them (v1): HMAC-SHA256 over id, time and body.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// How many bytes a new secret has; 24 to 64 are usual.
pub const SECRET_BYTES: usize = 32;
const PREFIX: &str = "whsec_";

/// A secret as it is shown, once.
pub fn shown(secret: &[u8]) -> String {
    format!("{PREFIX}{}", STANDARD.encode(secret))
}

/// The header `webhook-signature`: a signature with each secret, with spaces between.
pub fn header(secrets: &[Vec<u8>], id: &str, seconds: i64, body: &[u8]) -> String {
    let signatures: Vec<String> = secrets.iter().map(|secret| sign(secret, id, seconds, body)).collect();
    signatures.join(" ")
}

fn sign(secret: &[u8], id: &str, seconds: i64, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret));
    context.update(format!("{id}.{seconds}.").as_bytes());
    context.update(body);
    format!("v1,{}", STANDARD.encode(context.sign().as_ref()))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::{header, shown};

    /// The vector that the libraries of Standard Webhooks are tested with.
    #[test]
    fn a_signature_is_that_of_the_standard() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        assert_eq!(shown(&secret), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let (id, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", br#"{"test": 2432232314}"#);
        let signed = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(header(std::slice::from_ref(&secret), id, 1_614_265_330, body), signed);
        let both = header(&[secret, vec![1; 32]], id, 1_614_265_330, body);
        assert!(both.starts_with(&format!("{signed} v1,")) && both.len() > 2 * signed.len());
    }
}
