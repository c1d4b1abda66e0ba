//! Checkpoints of a log (c2sp.org/tlog-checkpoint), and proofs that a record is in it (c2sp.org/tlog-proof).

use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use serde::{Deserialize, Serialize};

use super::merkle;
use super::note::Note;
use crate::domain::Digest;

/// The most hashes in a proof.
pub const MAX_PROOF_LEN: usize = 63;
/// The first line of a proof.
pub const PROOF_HEADER: &str = "c2sp.org/tlog-proof@v1";

/// Why a checkpoint or a proof cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a {what}: {why}")]
pub struct Malformed {
    what: &'static str,
    why: &'static str,
}

/// The size and the root of a log. A signed note contains it as its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The name of the log.
    pub origin: String,
    /// The number of leaves.
    pub size: u64,
    /// The root of the tree.
    pub root: Digest,
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root.0))
    }
}

impl FromStr for Checkpoint {
    type Err = Malformed;

    /// Parses the text of a checkpoint. Ignores lines after the third, as the specification says.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let wrong = |why| Malformed { what: "checkpoint", why };
        let text = text.strip_suffix('\n').ok_or(wrong("it does not end in a newline"))?;
        let mut lines = text.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(wrong("it has fewer than three lines"));
        };
        if origin.is_empty() || lines.any(str::is_empty) {
            return Err(wrong("it has an empty line"));
        }
        let size = number(size).ok_or(wrong("its second line is not a size"))?;
        let root = hash(root).ok_or(wrong("its third line is not a hash"))?;
        Ok(Self { origin: origin.to_owned(), size, root })
    }
}

/// A signed checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// The note: its text and its signatures.
    pub note: Note,
}

impl SignedCheckpoint {
    /// Parses a signed checkpoint without verifying its signatures.
    pub fn parse(text: &str) -> Result<Self, String> {
        let note = Note::parse(text).map_err(|error| error.to_string())?;
        let checkpoint = note.text.parse().map_err(|error: Malformed| error.to_string())?;
        Ok(Self { checkpoint, note })
    }
}

impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.note.text)?;
        self.note.signatures.iter().try_for_each(|signature| signature.fmt(f))
    }
}

/// A checkpoint as a line of a witness file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WitnessLine {
    checkpoint: String,
}

impl WitnessLine {
    /// The line of a checkpoint.
    pub fn of(checkpoint: &SignedCheckpoint) -> Self {
        Self { checkpoint: checkpoint.to_string() }
    }

    /// The line, without a newline.
    pub fn to_line(&self) -> String {
        serde_json::json!({ "checkpoint": self.checkpoint }).to_string()
    }

    /// Parses a line without verifying signatures.
    pub fn parse(line: &[u8]) -> Result<SignedCheckpoint, String> {
        let line: Self = serde_json::from_slice(line).map_err(|error| format!("a line is no checkpoint: {error}"))?;
        SignedCheckpoint::parse(&line.checkpoint)
    }
}

/// The proof that a leaf is in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// Extra data for the leaf. The proof itself does not cover it.
    pub extra: Option<Vec<u8>>,
    /// The leaf, from 0.
    pub index: u64,
    /// The hashes of the proof, from the leaf's sibling up to a child of the root.
    pub hashes: Vec<Digest>,
    /// The checkpoint.
    pub checkpoint: SignedCheckpoint,
}

impl TlogProof {
    /// Verifies that the log of the checkpoint contains a leaf with this hash. Does not verify signatures.
    pub fn verify_inclusion(&self, leaf: &Digest) -> Result<(), merkle::ProofError> {
        let Checkpoint { size, root, .. } = &self.checkpoint.checkpoint;
        merkle::verify_inclusion(leaf, self.index, *size, &self.hashes, root)
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{PROOF_HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.hashes.iter().try_for_each(|hash| writeln!(f, "{}", STANDARD.encode(hash.0)))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for TlogProof {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why| Malformed { what: "transparency log proof", why }.to_string();
        let (head, checkpoint) = text.split_once("\n\n").ok_or_else(|| wrong("no empty line ends the hashes"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(PROOF_HEADER) {
            return Err(wrong("its first line is not `c2sp.org/tlog-proof@v1`"));
        }
        let extra = match lines.peek().and_then(|line| line.strip_prefix("extra ")) {
            None => None,
            Some(extra) => {
                lines.next();
                Some(STANDARD.decode(extra).map_err(|_| wrong("its extra data is not base64"))?)
            }
        };
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).and_then(number);
        let index = index.ok_or_else(|| wrong("it has no index"))?;
        let hashes: Option<Vec<_>> = lines.map(hash).collect();
        let hashes = hashes.ok_or_else(|| wrong("a line between index and checkpoint is not a hash"))?;
        if hashes.len() > MAX_PROOF_LEN {
            return Err(wrong("it has more than 63 hashes"));
        }
        Ok(Self { extra, index, hashes, checkpoint: SignedCheckpoint::parse(checkpoint)? })
    }
}

/// A decimal number without leading zeroes.
fn number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

fn hash(base64: &str) -> Option<Digest> {
    Some(Digest(STANDARD.decode(base64).ok()?.try_into().ok()?))
}

/// The lines of a consistency proof in the format of witnesses.
pub(crate) fn proof_lines(hashes: &[Digest]) -> String {
    hashes.iter().fold(String::new(), |mut lines, hash| {
        // Writing to a String cannot fail.
        let _ = writeln!(lines, "{}", STANDARD.encode(hash.0));
        lines
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::log::note::{SigningKey, sign};

    fn signed(size: u64, root: Digest) -> SignedCheckpoint {
        let key = SigningKey::from_seed("example.com/log", [1; 32]).unwrap();
        let checkpoint = Checkpoint { origin: "example.com/log".into(), size, root };
        SignedCheckpoint::parse(&sign(&checkpoint.to_string(), &[&key])).unwrap()
    }

    #[test]
    fn a_checkpoint_parses_to_what_was_written() {
        let signed = signed(7, Digest([3; 32]));
        assert_eq!(SignedCheckpoint::parse(&signed.to_string()).unwrap(), signed);
        let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        assert_eq!(text.parse::<Checkpoint>().unwrap().to_string(), text);
    }

    #[test]
    fn a_proof_parses_to_what_was_written() {
        for extra in [None, Some(b"what belongs to it".to_vec())] {
            let leaf = Digest([9; 32]);
            let root = merkle::hash_node(&Digest([8; 32]), &leaf);
            let proof = TlogProof { extra, index: 1, hashes: vec![Digest([8; 32])], checkpoint: signed(2, root) };
            let text = proof.to_string();
            assert_eq!(text.parse::<TlogProof>().unwrap(), proof, "{text}");
            proof.verify_inclusion(&leaf).unwrap();
            assert!(proof.verify_inclusion(&Digest([7; 32])).is_err());
        }
    }

    #[test]
    fn an_invalid_checkpoint_is_refused() {
        let hash = STANDARD.encode([0; 32]);
        for text in [
            String::new(),
            "a\n1\n".into(),
            format!("\n1\n{hash}\n"),
            format!("a\n01\n{hash}\n"),
            format!("a\n+1\n{hash}\n"),
            format!("a\n18446744073709551616\n{hash}\n"),
            format!("a\n1\n{}\n", &hash[1..]),
            format!("a\n1\n{hash}"),
            format!("a\n1\n{hash}\n\nb\n"),
        ] {
            assert!(text.parse::<Checkpoint>().is_err(), "{text:?}");
        }
    }
}
