//! The request for a certificate that an agent answers with, down to its key.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = authority::Request::parse(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Ok(request) = authority::Request::from_pem(text) {
            assert!(!request.public_key().is_empty());
        }
    }
    if let Ok(certificate) = authority::Certificate::parse(bytes) {
        let _ = certificate.key_parts();
        assert!(!certificate.is_signed_by(&certificate) || certificate.is_authority);
    }
});
