//! Evidence: exports of the record that can be verified without trusting the machine that they came from.
//!
//! # A bundle
//!
//! A bundle is the whole log in one file. It is a tar archive: unpacked, it has the layout of c2sp.org/tlog-tiles,
//! which clients of that format can read. The same content always gives the same bytes, so that no byte can be changed
//! unnoticed. The headers are ustar headers with mode 0644 and zeroes elsewhere. Two blocks of zeroes end the archive.
//! The members have this order:
//!
//! ```text
//! aegis-bundle.json          one line: {"format":"aegis-bundle/v1","origin":…,"policies":true,"size":…}
//! checkpoint                 the signed checkpoint                                        c2sp.org/tlog-checkpoint
//!   for every 256 records (fewer at the end):
//! records/N.jsonl            the records from number N on (12 digits): at most 1 MiB, unless a single record is larger
//! …                          further parts of the 256
//! tile/entries/NNN[.p/W]     the leaf data, each with its length: it is hashed to leaves    c2sp.org/tlog-tiles
//! tile/0/NNN[.p/W]           the leaf hashes
//!   then:
//! tile/1/… tile/2/…          the hashes of full tiles, level by level
//! policies/REVISION.json     each merged policy that a record names as loaded, in the order of the revisions: RFC 8785
//!                            JSON, whose SHA-256 is the revision
//! ```
//!
//! A line of records has one of these forms:
//!
//! ```text
//! {"payload":{…},"salt":"<32 hex digits>"}         the payload byte for byte as it was hashed
//! {"redacted":"<64 hex digits>"}                   the leaf data alone: payload and salt were removed
//! ```
//!
//! The records name the signing keys (`log_started`, `log_key_rotated`), so the bundle needs no list of keys. A bundle
//! has the merged policies. It does not have the text of policy files, because no revision proves that text. An
//! exporter that may not read policies leaves them out and sets `policies` to false.
//!
//! # A receipt
//!
//! A receipt is one decision in one text file: a list of c2sp.org/tlog-proof texts with the same checkpoint. The
//! `extra` of each proof is the line of its record, as above. First come the records that name the log's keys, then
//! those of the decision, its approval and its result.
//!
//! # What is checked
//!
//! [`LogVerifier`] documents the checks. Bundles, receipts and the responses of a daemon follow the same rules.

mod bundle;
mod line;
mod receipt;
mod tar;
#[cfg(test)]
mod tests;
mod verifier;

pub use bundle::{BundleWriter, Manifest, read_bundle, verify_bundle};
pub use line::EntryLine;
pub use receipt::{Proved, Receipt, is_receipt};
pub use verifier::{Checked, Invalid, LogVerifier, Trust, Wrong};
