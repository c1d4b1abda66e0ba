//! Headers and frames as bytes, and how they are found in a file. The module above draws them.

use super::fault::JournalFault;

/// The offset of the first frame. Each of the two headers before it has a page of its own, which is written whole.
pub(super) const FRAMES: u64 = 8192;
/// The distance of the headers.
const HEADER_DISTANCE: u64 = 4096;
const MAGIC: &[u8; 8] = b"aegisjnl";
/// The length of a header.
pub(super) const HEADER_LEN: usize = 44;
/// The length of a frame before its changes.
const FRAME_HEAD: usize = 32;
/// Frames begin at multiples of this.
const ALIGNMENT: usize = 8;
/// The most bytes of changes in one frame. More than any call can make.
pub(super) const MOST_CHANGES: usize = 256 << 20;

/// The header of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) store: [u8; 16],
    pub(super) generation: u64,
    pub(super) nonce: [u8; 8],
}

impl Header {
    /// Where the header of a generation is.
    pub(super) fn place(generation: u64) -> u64 {
        generation % 2 * HEADER_DISTANCE
    }

    pub(super) fn to_bytes(self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..24].copy_from_slice(&self.store);
        bytes[24..32].copy_from_slice(&self.generation.to_be_bytes());
        bytes[32..40].copy_from_slice(&self.nonce);
        let sum = crc32fast::hash(&bytes[..40]);
        bytes[40..].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (signed, sum) = bytes.split_at_checked(40)?;
        let store = signed.strip_prefix(MAGIC)?.first_chunk()?;
        let matches = sum == crc32fast::hash(signed).to_be_bytes();
        matches.then_some(Self { store: *store, generation: number(signed, 24)?, nonce: *chunk(signed, 32)? })
    }
}

/// The headers of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Headers {
    /// The header of the newest generation, and that of the one before it.
    pub(super) newest: Option<Header>,
    pub(super) before: Option<Header>,
    /// Whether there is something that is no header.
    pub(super) damaged: Option<u64>,
}

impl Headers {
    /// Finds the headers in the content of a file.
    pub(super) fn find(content: &[u8]) -> Self {
        let (mut found, mut damaged) = (Vec::new(), None);
        for parity in 0..2 {
            let at = Header::place(parity);
            let start = usize::try_from(at).unwrap_or(usize::MAX).min(content.len());
            let bytes = content.get(start..start + HEADER_LEN).unwrap_or(&content[start..]);
            match Header::parse(bytes) {
                Some(header) if header.generation % 2 == parity => found.push(header),
                _ if bytes.iter().all(|byte| *byte == 0) => {}
                _ => damaged = Some(at),
            }
        }
        found.sort_by_key(|header| std::cmp::Reverse(header.generation));
        let mut found = found.into_iter();
        Self { newest: found.next(), before: found.next(), damaged }
    }
}

/// A frame in the content of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'f> {
    pub(super) number: u64,
    pub(super) synced: u64,
    pub(super) changes: &'f [u8],
}

impl<'f> Frame<'f> {
    /// Appends a frame to these bytes.
    pub(super) fn append(bytes: &mut Vec<u8>, nonce: [u8; 8], number: u64, synced: u64, changes: &[u8]) {
        let start = bytes.len();
        let len = u32::try_from(changes.len()).expect("the caller has compared it with `MOST_CHANGES`");
        bytes.extend_from_slice(&len.to_be_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&number.to_be_bytes());
        bytes.extend_from_slice(&synced.to_be_bytes());
        bytes.extend_from_slice(changes);
        let sum = checksum(&bytes[start..]);
        bytes[start + 4..start + 8].copy_from_slice(&sum);
        bytes.resize(start + padded(bytes.len() - start), 0);
    }

    /// The frame at this offset, if there is a whole one with this nonce.
    fn at(content: &'f [u8], at: usize, nonce: [u8; 8]) -> Option<Self> {
        let head = content.get(at..at.checked_add(FRAME_HEAD)?)?;
        if head[8..16] != nonce {
            return None;
        }
        let len = usize::try_from(u32::from_be_bytes(*chunk(head, 0)?)).ok()?;
        let frame = content.get(at..at.checked_add(FRAME_HEAD)?.checked_add(len)?)?;
        let whole = checksum(frame) == head[4..8];
        whole.then_some(Self { number: number(head, 16)?, synced: number(head, 24)?, changes: &frame[FRAME_HEAD..] })
    }

    /// The length in the file.
    fn len(self) -> usize {
        padded(FRAME_HEAD + self.changes.len())
    }
}

/// The frames of a generation that are whole and without a gap.
#[derive(Debug, Default)]
pub(super) struct Frames<'f> {
    pub(super) whole: Vec<Frame<'f>>,
    /// The offset behind the last of them.
    pub(super) end: usize,
    /// Set if a frame is missing that was synced.
    pub(super) damage: Option<JournalFault>,
}

impl<'f> Frames<'f> {
    /// Finds the frames of a generation. What follows the last one is searched for a frame that calls a missing one
    /// synced.
    pub(super) fn find(content: &'f [u8], nonce: [u8; 8]) -> Self {
        let (mut whole, mut end) = (Vec::<Frame<'f>>::new(), usize::try_from(FRAMES).unwrap_or(usize::MAX));
        let next = |whole: &[Frame<'_>]| whole.len() as u64 + 1;
        while let Some(frame) = Frame::at(content, end, nonce).filter(|frame| frame.number == next(&whole)) {
            end += frame.len();
            whole.push(frame);
        }
        let missing = next(&whole);
        let mut later = (end..content.len()).step_by(ALIGNMENT).filter_map(|at| Frame::at(content, at, nonce));
        let damage = later.any(|frame| frame.synced >= missing).then(|| JournalFault::Damaged {
            at: end as u64,
            what: format!("frame {missing} is damaged, and a later one says that it was written whole"),
        });
        Self { whole, end, damage }
    }
}

/// The checksum of a frame: of everything but itself.
fn checksum(frame: &[u8]) -> [u8; 4] {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&frame[..4]);
    sum.update(&frame[8..]);
    sum.finalize().to_be_bytes()
}

fn padded(len: usize) -> usize {
    len.next_multiple_of(ALIGNMENT)
}

fn chunk<const N: usize>(bytes: &[u8], at: usize) -> Option<&[u8; N]> {
    bytes.get(at..)?.first_chunk()
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(*chunk(bytes, at)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: [u8; 8] = [7; 8];

    /// The content of a file with these frames of one byte each, of which each calls the earlier ones synced.
    fn content(frames: u64) -> Vec<u8> {
        let mut content = vec![0; usize::try_from(FRAMES).unwrap()];
        for number in 1..=frames {
            Frame::append(&mut content, NONCE, number, number - 1, &[9]);
        }
        content
    }

    #[test]
    fn frames_are_found_up_to_a_torn_end() {
        let whole = content(3);
        let found = Frames::find(&whole, NONCE);
        assert_eq!((found.whole.len(), found.end, found.damage), (3, whole.len(), None));
        for cut in 1..40 {
            let torn = &whole[..whole.len() - cut];
            let found = Frames::find(torn, NONCE);
            // The last seven bytes only fill up.
            let frames = if cut < 8 { 3 } else { 2 };
            assert_eq!((found.whole.len(), found.damage), (frames, None), "{cut}");
        }
        assert_eq!(Frames::find(&whole, [8; 8]).whole.len(), 0, "frames of another generation");
    }

    #[test]
    fn a_bad_frame_before_one_that_calls_it_synced_is_damage() {
        let whole = content(3);
        for at in usize::try_from(FRAMES).unwrap()..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 0x10;
            let found = Frames::find(&bad, NONCE);
            let frame = (at - usize::try_from(FRAMES).unwrap()) / 40;
            let fills_up = (at - usize::try_from(FRAMES).unwrap()) % 40 > FRAME_HEAD;
            let expected = if fills_up { 3 } else { frame };
            assert_eq!(found.whole.len(), expected, "{at}");
            assert_eq!(found.damage.is_some(), !fills_up && frame < 2, "{at}");
        }
    }

    #[test]
    fn a_header_is_whole_or_damaged_or_not_there() {
        let header = Header { store: [1; 16], generation: 4, nonce: NONCE };
        let mut file = vec![0; usize::try_from(FRAMES).unwrap()];
        assert_eq!(Headers::find(&file), Headers { newest: None, before: None, damaged: None });
        assert_eq!(Headers::find(&[]), Headers { newest: None, before: None, damaged: None });
        file[..HEADER_LEN].copy_from_slice(&header.to_bytes());
        assert_eq!(Headers::find(&file), Headers { newest: Some(header), before: None, damaged: None });
        for at in 0..HEADER_LEN {
            let mut bad = file.clone();
            bad[at] ^= 1;
            assert_eq!(Headers::find(&bad), Headers { newest: None, before: None, damaged: Some(0) });
        }
    }
}
