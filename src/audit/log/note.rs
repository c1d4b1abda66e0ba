//! Signed notes (c2sp.org/signed-note): a text, followed by one line for each signature.
//!
//! The log signs with Ed25519. Cosignatures of witnesses (c2sp.org/tlog-cosignature, with Ed25519) are only verified
//! here.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use sha2::{Digest as _, Sha256};

/// The longest note that is accepted, in bytes.
pub const MAX_NOTE_LEN: usize = 64 << 10;
/// The most signatures in a note. The specification requires at least 16.
const MAX_SIGNATURES: usize = 64;
/// The prefix of a signature line.
const SIGNATURE: &str = "\u{2014} ";
/// The prefix of a key file of the Go implementation of notes.
const PRIVATE: &str = "PRIVATE+KEY+";

/// Why a note or a key is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// The text is not a signed note.
    #[error("not a signed note: {0}")]
    Malformed(&'static str),
    /// The text is not a key.
    #[error("not a {what}: {why}")]
    BadKey {
        /// The expected kind of key.
        what: &'static str,
        /// What is wrong.
        why: &'static str,
    },
    /// The signature with the name of a known key was not made by that key.
    #[error("the signature of {0} is wrong: the text or the signature was changed")]
    WrongSignature(String),
    /// No known key has signed.
    #[error("not signed by {0}")]
    Unsigned(String),
}

/// What a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// The text of the note.
    Ed25519,
    /// A witness's statement about the text, with the time of the signature.
    Cosignature,
}

impl Algorithm {
    const fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 1,
            Self::Cosignature => 4,
        }
    }
}

/// A named public key that verifies signatures: a *vkey*.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    algorithm: Algorithm,
    public: [u8; 32],
}

impl VerifierKey {
    /// The name of the key's owner.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it signs.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key id before each signature. Together with the name it says which key has signed.
    pub fn id(&self) -> u32 {
        let hash = Sha256::new()
            .chain_update(&self.name)
            .chain_update([b'\n', self.algorithm.byte()])
            .chain_update(self.public)
            .finalize();
        u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
    }

    fn has_made(&self, text: &str, signature: &[u8]) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, self.public);
        match self.algorithm {
            Algorithm::Ed25519 => key.verify(text.as_bytes(), signature).is_ok(),
            Algorithm::Cosignature => {
                let Some((time, signature)) = signature.split_first_chunk() else { return false };
                let statement = format!("cosignature/v1\ntime {}\n{text}", u64::from_be_bytes(*time));
                key.verify(statement.as_bytes(), signature).is_ok()
            }
        }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![self.algorithm.byte()];
        key.extend_from_slice(&self.public);
        write!(f, "{}+{:08x}+{}", self.name, self.id(), STANDARD.encode(key))
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let wrong = |why| NoteError::BadKey { what: "verifier key", why };
        // Base64 may contain a plus; names must not.
        let mut parts = text.trim_end_matches('\n').splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong("it has the form NAME+ID+KEY, for example example.com/log+530d903a+AekyeRrm…"));
        };
        let key = STANDARD.decode(key).map_err(|_| wrong("its last part is not base64"))?;
        let (algorithm, public) = key.split_first().ok_or(wrong("it is empty"))?;
        let algorithm = match algorithm {
            1 => Algorithm::Ed25519,
            4 => Algorithm::Cosignature,
            _ => return Err(wrong("it is of another kind than Ed25519")),
        };
        let public = public.try_into().map_err(|_| wrong("an Ed25519 key has 32 bytes"))?;
        check_name(name).map_err(wrong)?;
        let key = Self { name: name.to_owned(), algorithm, public };
        if id.len() == 8 && format!("{:08x}", key.id()) == id { Ok(key) } else { Err(wrong("its ID is not its own")) }
    }
}

/// Checks a name of a key, which is also the origin of a log.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("its name is empty");
    }
    if name.len() > 255 {
        return Err("its name is longer than 255 bytes");
    }
    if name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+') {
        return Err("its name has a space, a control character or a plus in it");
    }
    Ok(())
}

/// A signing key. Its text form, the one of the Go implementation of notes, is secret; `Debug` does not show it.
pub struct SigningKey {
    verifier: VerifierKey,
    seed: [u8; 32],
    pair: Ed25519KeyPair,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKey").field(&self.verifier.to_string()).finish()
    }
}

impl SigningKey {
    /// The key of this random seed.
    pub fn from_seed(name: &str, seed: [u8; 32]) -> Result<Self, NoteError> {
        let wrong = |why| NoteError::BadKey { what: "signing key", why };
        check_name(name).map_err(wrong)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| wrong("an Ed25519 seed has 32 bytes"))?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| wrong("an Ed25519 key has 32 bytes"))?;
        let verifier = VerifierKey { name: name.to_owned(), algorithm: Algorithm::Ed25519, public };
        Ok(Self { verifier, seed, pair })
    }

    /// Parses the text form: `PRIVATE+KEY+NAME+ID+KEY`.
    pub fn from_text(text: &str) -> Result<Self, NoteError> {
        let wrong = |why| NoteError::BadKey { what: "signing key", why };
        let rest = text.trim_end_matches('\n').strip_prefix(PRIVATE);
        let rest = rest.ok_or(wrong("it does not begin with `PRIVATE+KEY+`"))?;
        let mut parts = rest.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong("it has the form PRIVATE+KEY+NAME+ID+KEY"));
        };
        let key = STANDARD.decode(key).map_err(|_| wrong("its last part is not base64"))?;
        let seed = key.strip_prefix(&[1]).ok_or(wrong("it is of another kind than Ed25519"))?;
        let key = Self::from_seed(name, seed.try_into().map_err(|_| wrong("an Ed25519 seed has 32 bytes"))?)?;
        if format!("{:08x}", key.verifier.id()) == id { Ok(key) } else { Err(wrong("its ID is not its own")) }
    }

    /// The text form, which is secret.
    pub fn to_secret_text(&self) -> String {
        let mut key = vec![1];
        key.extend_from_slice(&self.seed);
        format!("{PRIVATE}{}+{:08x}+{}", self.verifier.name, self.verifier.id(), STANDARD.encode(key))
    }

    /// The public key.
    pub const fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// The signature line of a text, including its newline.
    pub fn signature_line(&self, text: &str) -> String {
        let mut bytes = self.verifier.id().to_be_bytes().to_vec();
        bytes.extend_from_slice(self.pair.sign(text.as_bytes()).as_ref());
        format!("{SIGNATURE}{} {}\n", self.verifier.name, STANDARD.encode(bytes))
    }
}

/// Signs a text with these keys. The text must end in a newline.
pub fn sign(text: &str, keys: &[&SigningKey]) -> String {
    debug_assert!(text.ends_with('\n'), "the text of a note ends in a newline");
    let mut note = format!("{text}\n");
    note.extend(keys.iter().map(|key| key.signature_line(text)));
    note
}

/// A parsed note. Trust its text only after [`Note::verify`] has found a signature of a trusted key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The text, including its final newline.
    pub text: String,
    /// The signatures, in their order.
    pub signatures: Vec<NoteSignature>,
}

/// One signature of a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    /// The claimed name of the signer.
    pub name: String,
    /// The id of the key.
    pub id: u32,
    /// The signature bytes.
    pub bytes: Vec<u8>,
}

impl NoteSignature {
    /// Parses a signature line without its newline.
    pub fn from_line(line: &str) -> Result<Self, NoteError> {
        let malformed = NoteError::Malformed;
        let rest = line.strip_prefix(SIGNATURE).ok_or(malformed("a signature line does not begin with `— `"))?;
        let (name, base64) = rest.split_once(' ').ok_or(malformed("a signature line has no signature"))?;
        check_name(name).map_err(|_| malformed("the name of a signature is not a valid key name"))?;
        let bytes = STANDARD.decode(base64).map_err(|_| malformed("a signature is not base64"))?;
        match bytes.split_first_chunk() {
            Some((id, rest)) if !rest.is_empty() => {
                Ok(Self { name: name.to_owned(), id: u32::from_be_bytes(*id), bytes: rest.to_vec() })
            }
            _ => Err(malformed("a signature is too short")),
        }
    }

    /// Whether the signature claims to be by this key.
    pub fn names(&self, key: &VerifierKey) -> bool {
        self.id == key.id() && self.name == key.name
    }
}

impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.id.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.bytes);
        writeln!(f, "{SIGNATURE}{} {}", self.name, STANDARD.encode(bytes))
    }
}

impl Note {
    /// Parses a note without verifying it.
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        let malformed = NoteError::Malformed;
        if note.len() > MAX_NOTE_LEN {
            return Err(malformed("it is longer than 64 KiB"));
        }
        if note.bytes().any(|byte| byte < b' ' && byte != b'\n') {
            return Err(malformed("it has a control character in it"));
        }
        let end = note.rfind("\n\n").ok_or(malformed("no empty line stands before the signatures"))?;
        let (text, signatures) = (&note[..=end], &note[end + 2..]);
        let signatures = signatures.strip_suffix('\n').ok_or(malformed("it does not end in a newline"))?;
        if signatures.lines().count() > MAX_SIGNATURES {
            return Err(malformed("it has too many signatures"));
        }
        let signatures = signatures.split('\n').map(NoteSignature::from_line).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// Verifies every signature that claims to be by one of the keys, and requires at least one. Returns the keys that
    /// have signed.
    pub fn verify<'k>(&self, keys: &'k [VerifierKey]) -> Result<Vec<&'k VerifierKey>, NoteError> {
        let mut signed = Vec::new();
        for signature in &self.signatures {
            for key in keys.iter().filter(|key| signature.names(key)) {
                if !key.has_made(&self.text, &signature.bytes) {
                    return Err(NoteError::WrongSignature(key.name.clone()));
                }
                if !signed.contains(&key) {
                    signed.push(key);
                }
            }
        }
        if signed.is_empty() {
            let names: Vec<_> = keys.iter().map(|key| format!("{}+{:08x}", key.name, key.id())).collect();
            return Err(NoteError::Unsigned(names.join(" or ")));
        }
        Ok(signed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    const VKEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    const NOTE: &str = "This is an example message.\n\n\
        — example.com/foo \
        Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

    /// Keys of the Go implementation's own example.
    const GO_PRIVATE: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    const GO_PUBLIC: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

    #[test]
    fn the_example_of_the_specification_verifies() {
        let key: VerifierKey = VKEY.parse().unwrap();
        assert_eq!(key.to_string(), VKEY);
        let note = Note::parse(NOTE).unwrap();
        assert_eq!(note.text, "This is an example message.\n");
        assert_eq!(note.verify(std::slice::from_ref(&key)).unwrap(), [&key]);
        assert_eq!(format!("{}\n{}", note.text, note.signatures[0]), NOTE);
    }

    #[test]
    fn keys_of_the_go_implementation_are_read_and_written() {
        let key = SigningKey::from_text(GO_PRIVATE).unwrap();
        assert_eq!((key.verifier().to_string().as_str(), key.to_secret_text().as_str()), (GO_PUBLIC, GO_PRIVATE));
        let text =
            "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
        // Ed25519 has one signature for a text: this is the one of the Go package's example.
        assert_eq!(
            sign(text, &[&key]),
            format!(
                "{text}\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpR\
                 Zb6KE6RyyBwJnAM=\n"
            )
        );
    }

    #[test]
    fn a_note_with_any_byte_changed_does_not_verify() {
        let key: VerifierKey = VKEY.parse().unwrap();
        for at in 0..NOTE.len() {
            for bit in 0..8 {
                let mut changed = NOTE.as_bytes().to_vec();
                changed[at] ^= 1 << bit;
                let Ok(changed) = String::from_utf8(changed) else { continue };
                let verified =
                    Note::parse(&changed).and_then(|note| Ok(note.verify(std::slice::from_ref(&key))?.len()));
                assert!(verified.is_err(), "byte {at}, bit {bit}: {changed}");
            }
        }
    }

    #[test]
    fn a_signature_of_an_unknown_key_is_ignored_and_one_of_a_known_key_must_verify() {
        let (a, b) = (SigningKey::from_seed("a", [1; 32]).unwrap(), SigningKey::from_seed("b", [2; 32]).unwrap());
        let note = Note::parse(&sign("text\n", &[&a, &b])).unwrap();
        assert_eq!(note.verify(&[a.verifier().clone()]).unwrap(), [a.verifier()]);
        let other = SigningKey::from_seed("a", [3; 32]).unwrap();
        assert!(matches!(note.verify(&[other.verifier().clone()]), Err(NoteError::Unsigned(_))));
        let mut forged = note.clone();
        forged.text = "other\n".into();
        let keys = [b.verifier().clone(), a.verifier().clone()];
        assert!(matches!(forged.verify(&keys), Err(NoteError::WrongSignature(_))));
    }

    /// The example of c2sp.org/tlog-cosignature comes without a key. This cosignature is made as the page describes.
    #[test]
    fn a_cosignature_covers_the_time_and_the_text() {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let public = pair.public_key().as_ref().try_into().unwrap();
        let key = VerifierKey { name: "witness.example/w1".into(), algorithm: Algorithm::Cosignature, public };
        assert_eq!(key.to_string().parse::<VerifierKey>().unwrap(), key);
        let text = "example.com/log\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        let mut bytes = 1_679_315_147u64.to_be_bytes().to_vec();
        bytes.extend_from_slice(pair.sign(format!("cosignature/v1\ntime 1679315147\n{text}").as_bytes()).as_ref());
        let signature = NoteSignature { name: key.name.clone(), id: key.id(), bytes };
        let mut note = Note::parse(&format!("{text}\n{signature}")).unwrap();
        note.verify(std::slice::from_ref(&key)).unwrap();
        assert_eq!(*note.signatures[0].bytes.first_chunk().unwrap(), 1_679_315_147u64.to_be_bytes());
        note.signatures[0].bytes[7] ^= 1;
        assert!(note.verify(&[key]).is_err());
    }

    #[test]
    fn an_invalid_note_or_key_is_refused() {
        for note in [
            "",
            "text\n",
            "text\n\n",
            "text\n\n— a\n",
            "text\n\n— a AAAA\n",
            "te\txt\n\n— a AAAAAAAA\n",
            "t\n\n— a AAAAAAAA",
        ] {
            assert!(matches!(Note::parse(note), Err(NoteError::Malformed(_))), "{note:?}");
        }
        for key in ["", "a+b", "a+00000000+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", "a b+530d903a+AQ=="] {
            assert!(key.parse::<VerifierKey>().is_err(), "{key:?}");
        }
        assert!(SigningKey::from_text(GO_PUBLIC).is_err());
    }
}
