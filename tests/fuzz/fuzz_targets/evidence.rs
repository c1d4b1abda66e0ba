//! Any bytes as evidence: they are read or refused, and never a panic; what is read as text is written again as it was.
#![no_main]

use aegis::audit::checkpoint::SignedCheckpoint;
use aegis::audit::evidence::{EntryLine, Receipt, Trust, verify_bundle};
use aegis::audit::note::{SigningKey, VerifierKey};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let _ = verify_bundle(input, Trust::default(), |_, _| {});
    if let Ok(entry) = EntryLine::parse(input) {
        let mut line = Vec::new();
        entry.write(&mut line);
        assert_eq!(line.strip_suffix(b"\n"), Some(input));
    }
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(checkpoint) = SignedCheckpoint::parse(text) {
        // The text of a checkpoint may have further lines, which are kept.
        assert_eq!(checkpoint.to_string(), text);
    }
    if let Ok(receipt) = Receipt::parse(text) {
        assert_eq!(receipt.to_string(), text);
        let _ = receipt.verify(&Trust::default());
    }
    if let Ok(key) = text.parse::<VerifierKey>() {
        assert_eq!(key.to_string(), text.trim_end_matches('\n'));
    }
    if let Ok(key) = SigningKey::from_text(text) {
        assert_eq!(key.to_secret_text(), text.trim_end_matches('\n'));
    }
});
