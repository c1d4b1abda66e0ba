//! Tar archives in a canonical form. The reader accepts only the exact bytes that the writer would produce.
//!
//! The `tar` crate accepts every variant of tar. Here a header that differs in one bit must be refused, so that no byte
//! of a bundle can be changed unnoticed. This needs less code than a wrapper around the crate.

use std::io::{self, Read, Write};

const BLOCK: usize = 512;
/// The largest member that the reader accepts; the writer never writes such a large one.
const MAX_LEN: u64 = 1 << 30;

/// Writes a member.
pub(super) fn write_member(out: &mut impl Write, name: &str, content: &[u8]) -> io::Result<()> {
    out.write_all(&header(name, content.len() as u64))?;
    out.write_all(content)?;
    out.write_all(&[0; BLOCK][..padding(content.len())])
}

/// Ends the archive.
pub(super) fn write_end(out: &mut impl Write) -> io::Result<()> {
    out.write_all(&[0; 2 * BLOCK])
}

/// The next entry of an archive.
pub(super) enum Member {
    /// A file with its name.
    File(String, Vec<u8>),
    /// The end of the archive and of the input.
    End,
}

/// Reads the next member, of at most `most` bytes.
pub(super) fn read_member(input: &mut impl Read) -> io::Result<Result<Member, &'static str>> {
    let mut block = [0; BLOCK];
    if !read_all(input, &mut block)? {
        return Ok(Err("it is cut off"));
    }
    if block == [0; BLOCK] {
        let whole = read_all(input, &mut block)? && block == [0; BLOCK];
        let over = input.read(&mut [0])? == 0;
        return Ok(if whole && over { Ok(Member::End) } else { Err("its end is not two blocks of zeroes") });
    }
    let name = block[..100].split(|byte| *byte == 0).next().and_then(|name| std::str::from_utf8(name).ok());
    let Some(name) = name.map(str::to_owned) else { return Ok(Err("a name is not text")) };
    let len = std::str::from_utf8(&block[124..135]).ok().and_then(|octal| u64::from_str_radix(octal, 8).ok());
    let Some(len) = len.filter(|len| *len <= MAX_LEN) else { return Ok(Err("a member has no size, or is too large")) };
    if block != header(&name, len) {
        return Ok(Err("the header of a member was changed, or another program has written this archive"));
    }
    let mut content = Vec::new();
    if input.take(len).read_to_end(&mut content)? as u64 != len {
        return Ok(Err("it is cut off"));
    }
    let mut rest = [0; BLOCK];
    let rest = &mut rest[..padding(content.len())];
    if !read_all(input, rest)? {
        return Ok(Err("it is cut off"));
    }
    if rest.iter().any(|byte| *byte != 0) {
        return Ok(Err("the padding after a member is not zero"));
    }
    Ok(Ok(Member::File(name, content)))
}

fn read_all(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match input.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

const fn padding(len: usize) -> usize {
    (BLOCK - len % BLOCK) % BLOCK
}

/// The only valid header for a file of this name and size. Names are always shorter than 100 bytes.
fn header(name: &str, len: u64) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, &name[..name.floor_char_boundary(100)]);
    put(100, "0000644");
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{len:011o}"));
    put(136, "00000000000");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar");
    put(263, "00");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
    header[154] = 0;
    header
}
