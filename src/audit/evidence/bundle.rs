//! Writes a bundle record by record, and verifies one in a single pass. The [module documentation](super) shows the
//! format.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use super::line::EntryLine;
use super::tar::{Member, read_member, write_end, write_member};
use super::verifier::{Checked, Invalid, LogVerifier, Trust, Wrong};
use crate::audit::log::checkpoint::SignedCheckpoint;
use crate::audit::log::merkle::{Frontier, hash_leaf};
use crate::domain::{Digest, canonical_json};

const MANIFEST: &str = "aegis-bundle.json";
const CHECKPOINT: &str = "checkpoint";
const FORMAT: &str = "aegis-bundle/v1";
const TILE: usize = 256;
/// The most bytes of records in one member. A single larger record gets a member of its own.
const PART: usize = 1 << 20;

/// The manifest of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: String,
    /// The name of the log.
    pub origin: String,
    /// Whether the bundle contains the policies that the records name.
    pub policies: bool,
    /// The number of records.
    pub size: u64,
}

/// Writes a bundle, and verifies what it writes. So a finished bundle always verifies.
#[derive(Debug)]
pub struct BundleWriter<W> {
    out: W,
    checkpoint: SignedCheckpoint,
    verifier: LogVerifier,
    tiles: Tiles,
    /// Lines that are not written yet, and the sequence number of the first.
    lines: Vec<u8>,
    first: u64,
    with_policies: bool,
}

impl<W: Write> BundleWriter<W> {
    /// Begins a bundle of the log up to this checkpoint.
    pub fn begin(mut out: W, checkpoint: SignedCheckpoint, trust: Trust, with_policies: bool) -> Result<Self, Invalid> {
        let manifest = Manifest {
            format: FORMAT.to_owned(),
            origin: checkpoint.checkpoint.origin.clone(),
            policies: with_policies,
            size: checkpoint.checkpoint.size,
        };
        write_member(&mut out, MANIFEST, &manifest.line()?)?;
        write_member(&mut out, CHECKPOINT, checkpoint.to_string().as_bytes())?;
        let (verifier, tiles) = (LogVerifier::new(trust), Tiles::default());
        Ok(Self { out, checkpoint, verifier, tiles, lines: Vec::new(), first: 1, with_policies })
    }

    /// How many records are missing.
    pub fn left(&self) -> u64 {
        self.checkpoint.checkpoint.size.saturating_sub(self.verifier.size())
    }

    /// Adds the next record. `leaf` is the leaf hash that it should have.
    pub fn push(&mut self, entry: &EntryLine<'_>, leaf: Option<Digest>) -> Result<(), Invalid> {
        self.verifier.push(entry, leaf)?;
        entry.write(&mut self.lines);
        self.tiles.push(entry.leaf_data());
        let tile_is_full = self.verifier.size().is_multiple_of(TILE as u64);
        if self.lines.len() >= PART || tile_is_full {
            self.write_lines()?;
        }
        if tile_is_full {
            self.write_tile()?;
        }
        Ok(())
    }

    /// The policies that the records so far name. [`BundleWriter::finish`] needs them.
    pub fn revisions(&self) -> impl Iterator<Item = Digest> {
        self.verifier.revisions().filter(|_| self.with_policies)
    }

    /// Ends the bundle with its policies: merged, as canonical JSON. Returns what the bundle proves.
    pub fn finish(mut self, policies: &BTreeMap<Digest, Vec<u8>>) -> Result<(Checked, W), Invalid> {
        self.write_lines()?;
        self.write_tile()?;
        for (path, content) in self.tiles.upper() {
            write_member(&mut self.out, &path, &content)?;
        }
        for revision in self.revisions().collect::<Vec<_>>() {
            let json = policies.get(&revision).filter(|json| Digest::of(json) == revision);
            let json = json.ok_or_else(|| Wrong::all(format!("the policy {revision} is missing")))?;
            write_member(&mut self.out, &policy_path(revision), json)?;
        }
        write_end(&mut self.out)?;
        self.out.flush()?;
        let checked = self.verifier.finish(&self.checkpoint)?;
        Ok((checked, self.out))
    }

    fn write_lines(&mut self) -> io::Result<()> {
        if !self.lines.is_empty() {
            write_member(&mut self.out, &records_path(self.first), &self.lines)?;
            self.lines.clear();
        }
        self.first = self.verifier.size() + 1;
        Ok(())
    }

    fn write_tile(&mut self) -> io::Result<()> {
        for (path, content) in self.tiles.lowest() {
            write_member(&mut self.out, &path, &content)?;
        }
        Ok(())
    }
}

/// Verifies a bundle. Calls `progress` from time to time with the number of verified records and the total.
pub fn verify_bundle(input: impl Read, trust: Trust, progress: impl FnMut(u64, u64)) -> Result<Checked, Invalid> {
    read_bundle(input, trust, progress, |_| {})
}

/// Verifies a bundle, and calls `each` with every entry in order. Nothing that it was called with is proved before the
/// whole bundle is.
pub fn read_bundle(
    mut input: impl Read,
    trust: Trust,
    mut progress: impl FnMut(u64, u64),
    mut each: impl FnMut(&EntryLine<'_>),
) -> Result<Checked, Invalid> {
    let manifest = expect(&mut input, MANIFEST)?;
    let manifest = Manifest::parse(&manifest)?;
    let checkpoint = String::from_utf8(expect(&mut input, CHECKPOINT)?);
    let checkpoint = checkpoint.map_err(|_| Wrong::all("the checkpoint is not text"))?;
    let checkpoint =
        SignedCheckpoint::parse(&checkpoint).map_err(|why| Wrong::all(format!("the checkpoint: {why}")))?;
    let size = checkpoint.checkpoint.size;
    if (manifest.size, &manifest.origin) != (size, &checkpoint.checkpoint.origin) {
        return Err(Wrong::all(format!("{MANIFEST} and the checkpoint name different logs")).into());
    }
    let (mut verifier, mut tiles) = (LogVerifier::new(trust), Tiles::default());
    while verifier.size() < size {
        let first = verifier.size() + 1;
        let lines = expect(&mut input, &records_path(first))?;
        let lines = lines.strip_suffix(b"\n").ok_or_else(|| Wrong::at(first, "its part does not end in a newline"))?;
        for line in lines.split(|byte| *byte == b'\n') {
            let sequence = verifier.size() + 1;
            if sequence > size || (sequence > first && sequence % TILE as u64 == 1) {
                return Err(Wrong::at(sequence, "it is in the wrong part: the part should have ended before it").into());
            }
            let entry = EntryLine::parse(line).map_err(|why| Wrong::at(sequence, why))?;
            // The tile of leaves comes later and proves the hash of this record. Until then, nothing here is trusted.
            let pushed = verifier.push(&entry, None);
            each(&entry);
            tiles.push(entry.leaf_data());
            if let Err(wrong) = pushed {
                return Err(wrong.into());
            }
        }
        if verifier.size() == size || verifier.size().is_multiple_of(TILE as u64) {
            check_tile(&mut input, &mut tiles, verifier.size())?;
            progress(verifier.size(), size);
        }
    }
    for (path, content) in tiles.upper() {
        if expect(&mut input, &path)? != content {
            return Err(Wrong::all(format!("{path} does not match the hashes of the records")).into());
        }
    }
    for revision in verifier.revisions().filter(|_| manifest.policies) {
        if Digest::of(&expect(&mut input, &policy_path(revision))?) != revision {
            return Err(Wrong::all(format!("the policy {revision} does not hash to its revision")).into());
        }
    }
    match read_member(&mut input)?.map_err(Wrong::all)? {
        Member::End => {}
        Member::File(name, _) => return Err(Wrong::all(format!("an extra member follows: {name}")).into()),
    }
    Ok(verifier.finish(&checkpoint)?)
}

/// Compares the leaves of the last 256 records (fewer at the end) with their tile. The first that differs is wrong.
fn check_tile(input: &mut impl Read, tiles: &mut Tiles, size: u64) -> Result<(), Invalid> {
    let first = size - (size - 1) % TILE as u64;
    for (path, content) in tiles.lowest() {
        let there = expect(input, &path)?;
        if there == content {
            continue;
        }
        let width = if path.starts_with("tile/entries") { ENTRY } else { ENTRY - 2 };
        let same = there.chunks(width).zip(content.chunks(width)).take_while(|(a, b)| a == b).count();
        let why = format!("it does not hash to what {path} says: payload, salt or tile were changed");
        return Err(Wrong::at(first + same as u64, why).into());
    }
    Ok(())
}

/// Reads the next member, which must have this name.
fn expect(input: &mut impl Read, name: &str) -> Result<Vec<u8>, Invalid> {
    match read_member(input)?.map_err(Wrong::all)? {
        Member::File(there, content) if there == name => Ok(content),
        Member::File(there, _) => Err(Wrong::all(format!("{name} should come next, and {there:?} is there")).into()),
        Member::End => Err(Wrong::all(format!("{name} is missing: the bundle ends before it")).into()),
    }
}

impl Manifest {
    fn line(&self) -> Result<Vec<u8>, Wrong> {
        let mut line = canonical_json(self).map_err(|error| Wrong::all(error.to_string()))?;
        line.push(b'\n');
        Ok(line)
    }

    fn parse(line: &[u8]) -> Result<Self, Wrong> {
        let manifest: Self =
            serde_json::from_slice(line).map_err(|error| Wrong::all(format!("{MANIFEST}: {error}")))?;
        if manifest.format != FORMAT {
            return Err(Wrong::all(format!("the bundle is a {:?}; this program reads {FORMAT}", manifest.format)));
        }
        if manifest.line()? != line {
            return Err(Wrong::all(format!("{MANIFEST} is not in its canonical form")));
        }
        Ok(manifest)
    }
}

fn records_path(first: u64) -> String {
    format!("records/{first:012}.jsonl")
}

fn policy_path(revision: Digest) -> String {
    format!("policies/{revision}.json")
}

/// The length of an entry of `tile/entries`: two bytes of length, then the leaf data.
const ENTRY: usize = 2 + 32;

/// The tiles of a log, built in one pass.
#[derive(Debug, Default)]
struct Tiles {
    /// How many full tiles of leaves there are.
    full: u64,
    /// The leaf data of the last, partial tile.
    data: Vec<Digest>,
    /// For each level, from 1: the hashes of the full tiles below.
    upper: Vec<Vec<Digest>>,
}

impl Tiles {
    fn push(&mut self, data: Digest) {
        self.data.push(data);
    }

    /// The tile of the leaves since the last call, its entries first. Empty if there were none.
    fn lowest(&mut self) -> Vec<(String, Vec<u8>)> {
        let data = std::mem::take(&mut self.data);
        if data.is_empty() {
            return Vec::new();
        }
        let mut entries = Vec::with_capacity(data.len() * ENTRY);
        for leaf in &data {
            entries.extend_from_slice(&[0, 32]);
            entries.extend_from_slice(&leaf.0);
        }
        let leaves: Vec<Digest> = data.iter().map(|data| hash_leaf(&data.0)).collect();
        let number = self.full;
        if leaves.len() == TILE {
            self.full += 1;
            self.complete(&leaves);
        }
        vec![
            (tile_path("entries", number, leaves.len()), entries),
            (tile_path("0", number, leaves.len()), concat(&leaves)),
        ]
    }

    /// Adds the hash of a full tile to the level above. A level that becomes full does the same.
    fn complete(&mut self, leaves: &[Digest]) {
        let mut hash = root_of(leaves);
        for level in 0.. {
            if self.upper.len() == level {
                self.upper.push(Vec::new());
            }
            self.upper[level].push(hash);
            let hashes = &self.upper[level];
            if !hashes.len().is_multiple_of(TILE) {
                return;
            }
            hash = root_of(&hashes[hashes.len() - TILE..]);
        }
    }

    /// The tiles above the lowest level, the partial one at the end of each level included.
    fn upper(&self) -> impl Iterator<Item = (String, Vec<u8>)> {
        self.upper.iter().zip(1..).flat_map(|(hashes, level): (_, u32)| {
            let tiles = hashes.chunks(TILE).zip(0..);
            tiles.map(move |(tile, number)| (tile_path(&level.to_string(), number, tile.len()), concat(tile)))
        })
    }
}

fn root_of(hashes: &[Digest]) -> Digest {
    let mut tree = Frontier::default();
    for hash in hashes {
        tree.push(*hash);
    }
    tree.root()
}

fn concat(hashes: &[Digest]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// The path of a tile: `tile/0/x001/x234/067`, with `.p/W` for a partial one.
fn tile_path(level: &str, number: u64, width: usize) -> String {
    let mut path = format!("{:03}", number % 1000);
    let mut rest = number / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    let partial = if width < TILE { format!(".p/{width}") } else { String::new() };
    format!("tile/{level}/{path}{partial}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_named_as_in_the_specification() {
        assert_eq!(tile_path("0", 1_234_067, 256), "tile/0/x001/x234/067");
        assert_eq!(tile_path("entries", 0, 256), "tile/entries/000");
        assert_eq!(tile_path("1", 273, 112), "tile/1/273.p/112");
    }
}
