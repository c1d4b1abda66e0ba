//! The Merkle tree of RFC 6962, section 2.1, without storage.
//!
//! Roots and proofs are computed from the hashes of *complete* subtrees, which the caller looks up. The subtree of
//! height `h` and index `i` covers the leaves from `i · 2^h` to before `(i + 1) · 2^h`. Proofs are verified with the
//! algorithms of RFC 9162, sections 2.1.3.2 and 2.1.4.2.
//!
//! Leaves are counted from 0 here, as in the RFCs and the C2SP formats; records are numbered from 1. The leaf of a
//! record is `sequence − 1`, and the tree of size `n` holds the records from 1 to `n`.

use sha2::{Digest as _, Sha256};

use crate::domain::Digest;

/// The root of the empty tree: the hash of no bytes.
pub fn empty_root() -> Digest {
    Digest(Sha256::digest([]).into())
}

/// The hash of a leaf.
pub fn hash_leaf(data: &[u8]) -> Digest {
    Digest(Sha256::new().chain_update([0]).chain_update(data).finalize().into())
}

/// The hash of a node from those of its two children.
pub fn hash_node(left: &Digest, right: &Digest) -> Digest {
    Digest(Sha256::new().chain_update([1]).chain_update(left.0).chain_update(right.0).finalize().into())
}

/// Why a proof is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The tree has no such leaf.
    #[error("a tree of {size} leaves has no leaf {index}")]
    NoSuchLeaf {
        /// The leaf, from 0.
        index: u64,
        /// The size of the tree.
        size: u64,
    },
    /// The old tree is larger than the new one.
    #[error("the tree of {old} leaves is larger than that of {new}, which should contain it")]
    NotASuccessor {
        /// The size of the earlier tree.
        old: u64,
        /// The size of the later tree.
        new: u64,
    },
    /// The number of hashes does not fit the sizes.
    #[error("the proof has the wrong number of hashes")]
    WrongLength,
    /// The hashes do not give the root.
    #[error("the proof does not give the root")]
    WrongRoot,
}

/// Looks up the hash of a complete subtree by its height and its index at that height.
pub trait Subtrees {
    /// Why a lookup failed.
    type Error;

    /// The hash of the subtree.
    fn subtree(&mut self, height: u32, index: u64) -> Result<Digest, Self::Error>;
}

/// The root of the tree of this size.
pub fn root<S: Subtrees>(subtrees: &mut S, size: u64) -> Result<Digest, S::Error> {
    if size == 0 { Ok(empty_root()) } else { range_hash(subtrees, 0, size) }
}

/// The proof that the tree of this size contains a leaf: hashes from the leaf's sibling up to a child of the root. The
/// caller ensures `index < size`.
pub fn inclusion_proof<S: Subtrees>(subtrees: &mut S, index: u64, size: u64) -> Result<Vec<Digest>, S::Error> {
    debug_assert!(index < size, "the leaf exists");
    let (mut start, mut end) = (0, size);
    let mut siblings = Vec::new();
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            siblings.push((middle, end));
            end = middle;
        } else {
            siblings.push((start, middle));
            start = middle;
        }
    }
    siblings.into_iter().rev().map(|(start, end)| range_hash(subtrees, start, end)).collect()
}

/// The proof that the tree of `new` leaves begins with the tree of `old` leaves. The caller ensures `old <= new`. The
/// proof is empty if `old` is 0 or both are equal.
pub fn consistency_proof<S: Subtrees>(subtrees: &mut S, old: u64, new: u64) -> Result<Vec<Digest>, S::Error> {
    debug_assert!(old <= new, "the later tree is larger");
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    let (mut start, mut end) = (0, new);
    let mut ranges = Vec::new();
    // A verifier that knows the old root knows this subtree only if it is the whole old tree.
    while end != old {
        let middle = start + split(end - start);
        if old <= middle {
            ranges.push((middle, end));
            end = middle;
        } else {
            ranges.push((start, middle));
            start = middle;
        }
    }
    if start > 0 {
        ranges.push((start, end));
    }
    ranges.into_iter().rev().map(|(start, end)| range_hash(subtrees, start, end)).collect()
}

/// Verifies that the tree with this root contains a leaf with this hash.
pub fn verify_inclusion(
    leaf: &Digest,
    index: u64,
    size: u64,
    proof: &[Digest],
    root: &Digest,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::NoSuchLeaf { index, size });
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::WrongLength);
        }
        if node & 1 == 1 || node == last {
            hash = hash_node(sibling, &hash);
            // An incomplete subtree has no sibling on this level and moves up unchanged.
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            hash = hash_node(&hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    if last != 0 {
        return Err(ProofError::WrongLength);
    }
    if hash == *root { Ok(()) } else { Err(ProofError::WrongRoot) }
}

/// Verifies that the tree with the new root begins with the tree with the old root.
pub fn verify_consistency(
    old: u64,
    old_root: &Digest,
    new: u64,
    new_root: &Digest,
    proof: &[Digest],
) -> Result<(), ProofError> {
    if old > new {
        return Err(ProofError::NotASuccessor { old, new });
    }
    if old == 0 || old == new {
        let same = if old == new { old_root == new_root } else { *old_root == empty_root() };
        return match (proof.is_empty(), same) {
            (false, _) => Err(ProofError::WrongLength),
            (true, false) => Err(ProofError::WrongRoot),
            (true, true) => Ok(()),
        };
    }
    let mut rest = proof.iter();
    // A complete old tree is a node of the new tree. The proof leaves its root out, so start with it.
    let first = if old.is_power_of_two() { *old_root } else { *rest.next().ok_or(ProofError::WrongLength)? };
    let shift = (old - 1).trailing_ones();
    let (mut node, mut last) = ((old - 1) >> shift, (new - 1) >> shift);
    let (mut old_hash, mut new_hash) = (first, first);
    for hash in rest {
        if last == 0 {
            return Err(ProofError::WrongLength);
        }
        if node & 1 == 1 || node == last {
            old_hash = hash_node(hash, &old_hash);
            new_hash = hash_node(hash, &new_hash);
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            new_hash = hash_node(&new_hash, hash);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    if last != 0 {
        return Err(ProofError::WrongLength);
    }
    if old_hash == *old_root && new_hash == *new_root { Ok(()) } else { Err(ProofError::WrongRoot) }
}

/// A tree that grows leaf by leaf and keeps only the hashes of its largest complete subtrees.
#[derive(Clone, Debug, Default)]
pub struct Frontier {
    size: u64,
    /// One hash for each set bit of the size, the largest subtree first.
    complete: Vec<Digest>,
}

impl Frontier {
    /// The number of leaves.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: Digest) {
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            // The tree has one complete subtree for each set bit of its size.
            if let Some(left) = self.complete.pop() {
                hash = hash_node(&left, &hash);
            }
        }
        self.complete.push(hash);
        self.size += 1;
    }

    /// The current root.
    pub fn root(&self) -> Digest {
        let mut smallest_first = self.complete.iter().rev();
        let Some(smallest) = smallest_first.next() else { return empty_root() };
        smallest_first.fold(*smallest, |right, left| hash_node(left, &right))
    }
}

/// The hash of the leaves from `start` to before `end`, a range into which RFC 6962 splits a tree.
fn range_hash<S: Subtrees>(subtrees: &mut S, start: u64, end: u64) -> Result<Digest, S::Error> {
    let len = end - start;
    if len.is_power_of_two() {
        let height = len.trailing_zeros();
        return subtrees.subtree(height, start >> height);
    }
    let middle = start + split(len);
    let left = range_hash(subtrees, start, middle)?;
    Ok(hash_node(&left, &range_hash(subtrees, middle, end)?))
}

/// The largest power of two below this number, which must be more than 1.
const fn split(len: u64) -> u64 {
    1 << (u64::BITS - 1 - (len - 1).leading_zeros())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    /// RFC 6962, section 2.1, word by word.
    pub(crate) mod naive {
        use super::*;

        pub(crate) fn root(leaves: &[Digest]) -> Digest {
            match leaves {
                [] => Digest::of(b""),
                [leaf] => *leaf,
                leaves => {
                    let k = largest_power_below(leaves.len());
                    node(&root(&leaves[..k]), &root(&leaves[k..]))
                }
            }
        }

        pub(crate) fn path(m: usize, leaves: &[Digest]) -> Vec<Digest> {
            if leaves.len() == 1 {
                return Vec::new();
            }
            let k = largest_power_below(leaves.len());
            let (mut path, sibling) = if m < k {
                (path(m, &leaves[..k]), root(&leaves[k..]))
            } else {
                (path(m - k, &leaves[k..]), root(&leaves[..k]))
            };
            path.push(sibling);
            path
        }

        pub(crate) fn proof(m: usize, leaves: &[Digest]) -> Vec<Digest> {
            subproof(m, leaves, true)
        }

        fn subproof(m: usize, leaves: &[Digest], known: bool) -> Vec<Digest> {
            if m == leaves.len() {
                return if known { Vec::new() } else { vec![root(leaves)] };
            }
            let k = largest_power_below(leaves.len());
            let (mut proof, other) = if m <= k {
                (subproof(m, &leaves[..k], known), root(&leaves[k..]))
            } else {
                (subproof(m - k, &leaves[k..], false), root(&leaves[..k]))
            };
            proof.push(other);
            proof
        }

        fn node(left: &Digest, right: &Digest) -> Digest {
            let bytes: Vec<u8> = [1].into_iter().chain(left.0).chain(right.0).collect();
            Digest::of(&bytes)
        }

        fn largest_power_below(n: usize) -> usize {
            let mut k = 1;
            while k * 2 < n {
                k *= 2;
            }
            k
        }
    }

    /// Leaves in memory.
    pub(crate) struct InMemory<'l>(pub(crate) &'l [Digest]);

    impl Subtrees for InMemory<'_> {
        type Error = Infallible;

        fn subtree(&mut self, height: u32, index: u64) -> Result<Digest, Infallible> {
            let (start, len) = (usize::try_from(index << height).unwrap(), 1 << height);
            Ok(naive::root(&self.0[start..start + len]))
        }
    }

    pub(crate) fn leaves(count: u64) -> Vec<Digest> {
        (0..count).map(|n| hash_leaf(&n.to_be_bytes())).collect()
    }

    #[test]
    fn small_trees_match_the_rfc() {
        let all = leaves(70);
        let mut frontier = Frontier::default();
        for size in 0..=70usize {
            let leaves = &all[..size];
            let expected = naive::root(leaves);
            assert_eq!(root(&mut InMemory(leaves), size as u64).unwrap(), expected);
            assert_eq!((frontier.size(), frontier.root()), (size as u64, expected));
            for index in 0..size {
                let proof = inclusion_proof(&mut InMemory(leaves), index as u64, size as u64).unwrap();
                assert_eq!(proof, naive::path(index, leaves), "leaf {index} of {size}");
                verify_inclusion(&leaves[index], index as u64, size as u64, &proof, &expected).unwrap();
            }
            for old in 0..=size {
                let proof = consistency_proof(&mut InMemory(leaves), old as u64, size as u64).unwrap();
                if old > 0 {
                    assert_eq!(proof, naive::proof(old, leaves), "{old} to {size}");
                }
                let old_root = naive::root(&leaves[..old]);
                verify_consistency(old as u64, &old_root, size as u64, &expected, &proof).unwrap();
            }
            frontier.push(all.get(size).copied().unwrap_or(Digest([0; 32])));
        }
    }

    /// The vectors of the reference implementation of Certificate Transparency.
    #[test]
    fn roots_match_the_vectors_of_certificate_transparency() {
        let inputs: [&[u8]; 8] = [
            b"",
            &[0],
            &[0x10],
            &[0x20, 0x21],
            &[0x30, 0x31],
            &[0x40, 0x41, 0x42, 0x43],
            &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
            &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
        ];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut frontier = Frontier::default();
        for (input, root) in inputs.iter().zip(roots) {
            frontier.push(hash_leaf(input));
            assert_eq!(frontier.root().to_string(), root);
        }
    }

    proptest! {
        /// A changed proof fails: a changed hash, a missing or extra hash, another leaf, another size.
        #[test]
        fn a_changed_proof_does_not_verify(size in 2u64..600, at in 0u64..600, other in 0u64..600, byte in 0usize..32) {
            let leaves = leaves(size);
            let root = naive::root(&leaves);
            let (index, other) = (at % size, other % size);
            let leaf = leaves[usize::try_from(index).unwrap()];
            let proof = inclusion_proof(&mut InMemory(&leaves), index, size).unwrap();
            verify_inclusion(&leaf, index, size, &proof, &root).unwrap();
            if other != index {
                prop_assert!(verify_inclusion(&leaf, other, size, &proof, &root).is_err());
            }
            prop_assert!(verify_inclusion(&leaf, index, size, &proof[1..], &root).is_err());
            let longer: Vec<_> = proof.iter().copied().chain([root]).collect();
            prop_assert!(verify_inclusion(&leaf, index, size, &longer, &root).is_err());
            let mut changed = proof.clone();
            let place = usize::try_from(at).unwrap() % changed.len();
            changed[place].0[byte] ^= 1;
            prop_assert_eq!(verify_inclusion(&leaf, index, size, &changed, &root), Err(ProofError::WrongRoot));

            let old = index + 1;
            let old_root = naive::root(&leaves[..usize::try_from(old).unwrap()]);
            let proof = consistency_proof(&mut InMemory(&leaves), old, size).unwrap();
            verify_consistency(old, &old_root, size, &root, &proof).unwrap();
            let mut forged = old_root;
            forged.0[byte] ^= 1;
            prop_assert!(verify_consistency(old, &forged, size, &root, &proof).is_err());
            prop_assert!(verify_consistency(old, &old_root, size, &forged, &proof).is_err());
            for place in 0..proof.len() {
                let mut changed = proof.clone();
                changed[place].0[byte] ^= 1;
                prop_assert!(verify_consistency(old, &old_root, size, &root, &changed).is_err());
                let mut shorter = proof.clone();
                shorter.remove(place);
                prop_assert!(verify_consistency(old, &old_root, size, &root, &shorter).is_err());
            }
        }
    }

    #[test]
    fn impossible_sizes_and_indexes_are_refused() {
        let root = empty_root();
        assert_eq!(verify_inclusion(&root, 3, 3, &[], &root), Err(ProofError::NoSuchLeaf { index: 3, size: 3 }));
        assert_eq!(verify_consistency(4, &root, 3, &root, &[]), Err(ProofError::NotASuccessor { old: 4, new: 3 }));
        assert_eq!(verify_consistency(3, &root, 4, &root, &[]), Err(ProofError::WrongLength));
        let many = vec![root; 100];
        assert!(verify_inclusion(&root, u64::MAX - 1, u64::MAX, &many, &root).is_err());
        assert!(verify_consistency(u64::MAX - 1, &root, u64::MAX, &root, &many).is_err());
    }
}
