//! Evidence: what is taken out of a record so that somebody who distrusts the machine it came from can check it.
//!
//! # A bundle
//!
//! The whole log in one file. It is a tar archive, so that unpacking it gives the layout of c2sp.org/tlog-tiles and any
//! client of that can read it; and it has exactly one form for its content, so that no byte of it can be changed
//! unnoticed: the headers are ustar headers with mode 0644 and otherwise zeroes, two blocks of zeroes end it, and the
//! members stand in this order.
//!
//! ```text
//! aegis-bundle.json          one line: {"format":"aegis-bundle/v1","origin":…,"policies":true,"size":…}
//! checkpoint                 the signed checkpoint                                        c2sp.org/tlog-checkpoint
//!   for every 256 records, the last of them fewer:
//! records/N.jsonl            the records from number N on (12 digits), at most 1 MiB of them but for a larger one
//! …                          further parts of the 256
//! tile/entries/NNN[.p/W]     what is hashed to leaves: the leaf data, each with its length  c2sp.org/tlog-tiles
//! tile/0/NNN[.p/W]           the leaf hashes
//!   then:
//! tile/1/… tile/2/…          the hashes of full tiles, level by level
//! policies/REVISION.json     merged, as RFC 8785 JSON whose SHA-256 is the revision: all that records name as
//!                            loaded, in the order of their revisions
//! ```
//!
//! A line of records is one of
//!
//! ```text
//! {"payload":{…},"salt":"<32 hex digits>"}         the payload byte for byte as it was hashed
//! {"redacted":"<64 hex digits>"}                   the leaf data alone: payload and salt were taken away
//! ```
//!
//! Which key signs is on the record itself (`log_started`, `log_key_rotated`), so that the bundle needs no list of
//! keys. Policies are in a bundle as they decided: merged. The text of their files is not hashed into a revision, could
//! be anything, and stays with the daemon. An exporter that may not read policies leaves them out, and `policies` is
//! false.
//!
//! # A receipt
//!
//! One decision, in one text file: one c2sp.org/tlog-proof after another, all with the same checkpoint. Their `extra`
//! is the line of the record as above. First come the records that name the log's keys, then those of the decision:
//! proposed and decided, its approval, its result.
//!
//! # What is checked
//!
//! [`LogVerifier`] says; the same rules hold for a bundle, a receipt as far as it goes, and a daemon's answers.

mod bundle;
mod line;
mod receipt;
mod tar;
#[cfg(test)]
mod tests;
mod verifier;

pub use bundle::{BundleWriter, Manifest, verify_bundle};
pub use line::EntryLine;
pub use receipt::{Proved, Receipt, is_receipt};
pub use verifier::{Checked, Invalid, LogVerifier, Trust, Wrong};
