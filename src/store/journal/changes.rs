//! What one transaction changed, as the bytes of a frame.

/// Names the next table.
const NAME: u8 = 1;
/// Removes a key.
const REMOVE: u8 = 2;
/// Inserts or replaces the value of a key.
const PUT: u8 = 3;

/// The changes of one transaction, in their order.
#[derive(Debug, Default)]
pub(in crate::store) struct Changes {
    count: u64,
    tables: Vec<&'static str>,
    bytes: Vec<u8>,
}

impl Changes {
    /// How many changes there are.
    pub(in crate::store) fn count(&self) -> u64 {
        self.count
    }

    /// The changes as bytes.
    pub(in crate::store) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds the removal of a key.
    pub(in crate::store) fn remove(&mut self, table: &'static str, key: &[u8]) {
        self.begin(REMOVE, table);
        self.text(key);
    }

    /// Adds the new value of a key.
    pub(in crate::store) fn put(&mut self, table: &'static str, key: &[u8], value: &[u8]) {
        self.begin(PUT, table);
        self.text(key);
        self.text(value);
    }

    fn begin(&mut self, change: u8, table: &'static str) {
        self.count += 1;
        let place = self.tables.iter().position(|known| *known == table).unwrap_or_else(|| {
            self.bytes.push(NAME);
            self.bytes.push(u8::try_from(table.len()).expect("the name of a table is short"));
            self.bytes.extend_from_slice(table.as_bytes());
            self.tables.push(table);
            self.tables.len() - 1
        });
        self.bytes.push(change);
        self.bytes.push(u8::try_from(place).expect("a store has few tables"));
    }

    fn text(&mut self, text: &[u8]) {
        let len = u32::try_from(text.len()).expect("redb takes no longer keys and values");
        self.bytes.extend_from_slice(&len.to_be_bytes());
        self.bytes.extend_from_slice(text);
    }
}

/// One change of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Change<'f> {
    /// The name of the table.
    pub(crate) table: &'f str,
    /// The key as stored.
    pub(crate) key: &'f [u8],
    /// The value as stored; `None` if the key was removed.
    pub(crate) value: Option<&'f [u8]>,
}

/// Reads the changes of a frame and visits each. Returns false if the bytes are no changes.
pub(crate) fn each<'f, E>(bytes: &'f [u8], mut visit: impl FnMut(Change<'f>) -> Result<(), E>) -> Result<bool, E> {
    let mut rest = Rest(bytes);
    let mut tables = Vec::new();
    while !rest.0.is_empty() {
        let change = (|| {
            let kind = rest.byte()?;
            if kind == NAME {
                let len = rest.byte()?;
                tables.push(std::str::from_utf8(rest.take(usize::from(len))?).ok()?);
                return Some(None);
            }
            let table = *tables.get(usize::from(rest.byte()?))?;
            let key = rest.text()?;
            match kind {
                REMOVE => Some(Some(Change { table, key, value: None })),
                PUT => Some(Some(Change { table, key, value: Some(rest.text()?) })),
                _ => None,
            }
        })();
        match change {
            Some(Some(change)) => visit(change)?,
            Some(None) => {}
            None => return Ok(false),
        }
    }
    Ok(true)
}

/// The part of a frame that is not read yet.
struct Rest<'f>(&'f [u8]);

impl<'f> Rest<'f> {
    fn take(&mut self, len: usize) -> Option<&'f [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn text(&mut self) -> Option<&'f [u8]> {
        let len = u32::from_be_bytes(self.take(4)?.try_into().ok()?);
        self.take(usize::try_from(len).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Table, key, value.
    type Found = (String, Vec<u8>, Option<Vec<u8>>);

    fn read(bytes: &[u8]) -> Option<Vec<Found>> {
        let mut found = Vec::new();
        let whole = each(bytes, |change| {
            found.push((change.table.to_owned(), change.key.to_vec(), change.value.map(<[u8]>::to_vec)));
            Ok::<_, ()>(())
        });
        whole.unwrap().then_some(found)
    }

    #[test]
    fn changes_are_read_as_they_were_made() {
        let mut changes = Changes::default();
        changes.put("rows", b"1", b"one");
        changes.remove("pending", b"2");
        changes.put("rows", b"", b"");
        assert_eq!(changes.count(), 3);
        let found = read(changes.as_bytes()).unwrap();
        assert_eq!(
            found,
            [
                ("rows".to_owned(), b"1".to_vec(), Some(b"one".to_vec())),
                ("pending".to_owned(), b"2".to_vec(), None),
                ("rows".to_owned(), Vec::new(), Some(Vec::new())),
            ]
        );
        for end in 1..changes.as_bytes().len() {
            let some = read(&changes.as_bytes()[..end]);
            assert!(some.is_none_or(|some| some.len() < 3), "cut off at {end}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(0u8..5, 0..200)) {
            let _ = read(&bytes);
        }
    }
}
