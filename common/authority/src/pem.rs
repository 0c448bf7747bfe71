//! PEM: lines of base64 between two labels.

use data_encoding::BASE64;
use x509_parser::pem::Pem;

/// Prints `der` under `label`.
pub(crate) fn encode(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    let base64 = BASE64.encode(der);
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text + &format!("-----END {label}-----\n")
}

/// The contents of all parts with one of `labels`; what else there is, is passed over.
pub(crate) fn decode(text: &str, labels: &[&str]) -> Result<Vec<Vec<u8>>, String> {
    let mut found = Vec::new();
    for pem in Pem::iter_from_buffer(text.as_bytes()) {
        let pem = pem.map_err(|error| format!("is not PEM: {error}"))?;
        if labels.contains(&pem.label.as_str()) {
            found.push(pem.contents);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_again() {
        for len in [0, 1, 47, 48, 49, 500] {
            let der: Vec<u8> = (0..=255).cycle().take(len).collect();
            let text = encode("X", &der);
            assert!(text.lines().all(|line| line.len() <= 64));
            if len > 0 {
                assert_eq!(decode(&text, &["Y", "X"]).unwrap(), [der]);
            }
            assert!(decode(&text, &["Y"]).unwrap().is_empty());
        }
    }
}
