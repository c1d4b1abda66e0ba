//! A disk that returns other data than was written: the store does not panic and gives no wrong answer.
//!
//! The test flips a bit, empties a sector or fills a page with noise, one place at a time, in a store with something
//! in every table. Then it reads everything. Each answer is right, or an error that says what is wrong.

use aegis::audit::{AuditRow, Reader, Standalone, StoreError, StoredRecord};
use tokio::runtime::Runtime;

use crate::power::dice::Dice;
use crate::power::disk::{Disk, Image};
use crate::power::work::Worker;
use crate::power::{open_on, quietly};

/// How often an answer was right, an error, or wrong.
#[derive(Debug, Default)]
struct Answers {
    right: u64,
    errors: u64,
    /// Stores that did not open. Each said that it is damaged.
    refused: u64,
    wrong: Vec<String>,
}

impl Answers {
    fn take<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, found: Result<T, StoreError>, truth: &T) {
        match found {
            Ok(found) if found == *truth => self.right += 1,
            Ok(found) => self.wrong.push(format!("{what}: {found:?} in place of {truth:?}")),
            Err(error) => {
                assert!(!error.to_string().is_empty());
                self.errors += 1;
            }
        }
    }
}

/// The parts of a row that can be compared.
fn plain(row: Option<AuditRow>) -> Option<(u64, String)> {
    row.map(|row| (row.row, format!("{:?} {:?} {:?} {:?}", row.record_id, row.time, row.decision, row.state)))
}

/// Everything that the undamaged store says.
struct Truth {
    rows: Vec<AuditRow>,
    records: Vec<StoredRecord>,
    open: Vec<String>,
}

fn open_approvals(reader: &Reader) -> Result<Vec<String>, StoreError> {
    Ok(reader.pending()?.into_iter().map(|(id, row)| format!("{id} {}", row.row)).collect())
}

fn log(reader: &Reader) -> Result<Vec<StoredRecord>, StoreError> {
    let mut records = Vec::new();
    loop {
        let more = reader.records(records.len() as u64, 500)?;
        if more.is_empty() {
            return Ok(records);
        }
        records.extend(more);
    }
}

fn ask(answers: &mut Answers, reader: &Reader, truth: &Truth) {
    for row in &truth.rows {
        answers.take("a row", reader.row(row.row).map(plain), &plain(Some(row.clone())));
        if let Some(approval) = &row.state.approval {
            answers.take("an approval", found(reader.by_approval(approval.approval_id)), &plain(Some(row.clone())));
        }
        answers.take("a decision", found(reader.by_decision(row.decision.decision_id)), &plain(Some(row.clone())));
    }
    answers.take("the open approvals", open_approvals(reader), &truth.open);
    answers.take("the log", log(reader), &truth.records);
}

/// The result of a look-up by id. A missing row is an error for the caller.
fn found(found: Result<Option<AuditRow>, StoreError>) -> Result<Option<(u64, String)>, StoreError> {
    match found? {
        None => Err(StoreError::Closed),
        found => Ok(plain(found)),
    }
}

fn damage(image: &mut Image, dice: &mut Dice) -> String {
    let (name, image) = match image {
        [_, journal] if dice.once_in(8) => ("the journal", journal),
        [database, _] => ("the database", database),
    };
    let at = dice.below(image.len());
    match dice.below(4) {
        0 => {
            let start = at / 512 * 512;
            image[start..start + 512].fill(0);
            format!("an emptied sector of {name} at {start}")
        }
        1 => {
            let start = at / 4096 * 4096;
            let end = image.len().min(start + 4096);
            dice.fill(&mut image[start..end]);
            format!("noise in {name} at {start}")
        }
        _ => {
            let bit = dice.below(8);
            image[at] ^= 1 << bit;
            format!("bit {bit} of {name} at {at}")
        }
    }
}

/// A store with something in every table, and everything that it says.
fn original(runtime: &Runtime) -> (Image, Truth) {
    let disk = Disk::empty_database();
    let store = open_on(&disk, 7, false).expect("a store on a sound disk");
    let mut worker = Worker::new(7);
    runtime.block_on(worker.settle_in(&store, &disk, 320)).expect("the disk is sound");
    let reader = store.read().expect("the disk is sound");
    let rows = (1..=reader.last_row().unwrap()).map(|row| reader.row(row).unwrap().unwrap()).collect();
    let truth = Truth { rows, records: log(&reader).unwrap(), open: open_approvals(&reader).unwrap() };
    drop(reader);
    store.shutdown();
    (disk.image(), truth)
}

fn look(image: Image, runtime: &Runtime, truth: &Truth, answers: &mut Answers) {
    let disk = Disk::holding(image);
    let store: Standalone = match open_on(&disk, 8, false) {
        Ok(store) => store,
        Err(error) => {
            assert!(error.contains("a disk of the harness"), "the error names the file: {error}");
            answers.refused += 1;
            return;
        }
    };
    match store.read() {
        Ok(reader) => ask(answers, &reader, truth),
        Err(_) => answers.errors += 1,
    }
    // The store is then given more work, which it does or refuses.
    let mut worker = Worker::new(9);
    if runtime.block_on(worker.settle_in(&store, &disk, 16)).is_err() {
        answers.errors += 1;
    }
    store.shutdown();
}

#[test]
fn a_damaged_page_is_an_error_and_never_a_wrong_answer() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _inside = runtime.enter();
    let (image, truth) = original(&runtime);
    let mut answers = Answers::default();
    let samples = if crate::long() { 2_000 } else { 100 };
    quietly(|| {
        for seed in 0..samples {
            let mut damaged = image.clone();
            let what = damage(&mut damaged, &mut Dice::new(seed));
            let before = answers.wrong.len();
            look(damaged, &runtime, &truth, &mut answers);
            answers.wrong[before..].iter_mut().for_each(|wrong| *wrong = format!("seed {seed}, {what}: {wrong}"));
        }
    });
    // Pages with their count of entries set to 0, so that a table looks shorter than it is.
    quietly(|| {
        for start in (0..image[0].len()).step_by(4096).step_by(if crate::long() { 1 } else { 8 }) {
            let mut damaged = image.clone();
            damaged[0][start + 2..start + 4].fill(0);
            look(damaged, &runtime, &truth, &mut answers);
        }
    });
    let Answers { right, errors, refused, wrong } = answers;
    println!(
        "damage: {samples} places, {refused} stores refused, {errors} errors, {right} right answers, {} wrong ones",
        wrong.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(errors + refused > 0 && right > 0, "some of the damage has an effect, and some has none");
}
