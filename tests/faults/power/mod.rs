//! Power loss: a store on a disk that keeps what was synced, and any part of the rest.
//!
//! A run records a tape: a real [`Standalone`] does real work on a disk that records each operation. Then the power
//! fails after every step of the tape, and each time the disk holds something else. Each such image is opened and
//! checked as a whole. The test compares it with the ledger of what was acknowledged by then, and works with it. Some
//! of that, opening and repair included, is recorded as another tape, and the power fails again. A seed gives the same
//! images in every run.

pub(crate) mod dice;
pub(crate) mod disk;
pub(crate) mod work;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aegis::audit::{Opener, Options, Standalone};

use dice::Dice;
use disk::{Disk, Image, Player};
use work::{Done, Worker, lost};

/// How often the power may fail again while a store recovers.
const AGAIN: usize = 3;

/// A run prints its progress after this many images.
const SAY_EVERY: u64 = 10_000;

/// The results of all images.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    /// Images that were opened.
    pub(crate) images: u64,
    /// Comparisons of a checkpoint with an image. Each checkpoint that was signed before the power loss is compared.
    pub(crate) checkpoints: u64,
    /// Missing payloads in the images. For each, a record says that it was removed.
    pub(crate) redacted: u64,
    /// Images from a second power loss, during or soon after the recovery from an earlier one.
    pub(crate) again: u64,
    /// Stores that did not open, or refused more work.
    pub(crate) unopenable: u64,
    /// Stores that lack an acknowledged write.
    pub(crate) lost: u64,
    /// Stores with a partial write, or with tables that contradict each other.
    pub(crate) partial: u64,
    /// Panics that were not handled.
    pub(crate) panics: u64,
    /// The first failures, each with its seed.
    pub(crate) findings: Vec<String>,
    /// How long the run took.
    pub(crate) took: Duration,
}

impl Report {
    /// The number of images that failed.
    pub(crate) fn failures(&self) -> u64 {
        self.unopenable + self.lost + self.partial + self.panics
    }

    fn add(&mut self, other: Self) {
        self.images += other.images;
        self.checkpoints += other.checkpoints;
        self.redacted += other.redacted;
        self.again += other.again;
        self.unopenable += other.unopenable;
        self.lost += other.lost;
        self.partial += other.partial;
        self.panics += other.panics;
        self.findings.extend(other.findings);
        self.findings.truncate(20);
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { images, checkpoints, redacted, again, unopenable, lost, partial, panics, findings, took } = self;
        let pace = f64::from(u32::try_from(*images).unwrap_or(u32::MAX)) / took.as_secs_f64();
        write!(
            f,
            "power loss: {images} images ({again} while recovering), {lost} with lost acknowledgements, {partial} with \
             partial transactions, {unopenable} unopenable, {panics} panics; {checkpoints} comparisons with a \
             checkpoint, {redacted} missing payloads with a reason; {:.0} s, {pace:.0} images/s",
            took.as_secs_f64()
        )?;
        findings.iter().try_for_each(|finding| write!(f, "\n  {finding}"))
    }
}

/// The settings of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// The least number of images.
    pub(crate) images: u64,
    /// The first seed.
    pub(crate) seed: u64,
    /// The number of threads.
    pub(crate) threads: usize,
    /// Whether the disk lies: it says that it has synced but has not.
    pub(crate) lying: bool,
}

/// Makes the images and checks each.
pub(crate) fn run(plan: Plan) -> Report {
    let began = Instant::now();
    let (next, images) = (AtomicU64::new(plan.seed), AtomicU64::new(0));
    let total = Mutex::new(Report::default());
    std::thread::scope(|scope| {
        for _ in 0..plan.threads {
            scope.spawn(|| {
                while images.load(Ordering::Relaxed) < plan.images {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let report =
                        catch_unwind(|| Tape::new(seed, plan.lying).lose_power_everywhere()).unwrap_or_else(|panic| {
                            let text = panic.downcast_ref::<String>().map_or("", String::as_str);
                            Report {
                                panics: 1,
                                findings: vec![format!("seed {seed}: panic: {text}")],
                                ..Report::default()
                            }
                        });
                    images.fetch_add(report.images, Ordering::Relaxed);
                    let mut total = total.lock().expect("no thread panics while it holds the lock");
                    let before = total.images;
                    total.add(report);
                    total.took = began.elapsed();
                    // A long run that is stopped early has still printed how much was checked.
                    if before / SAY_EVERY < total.images / SAY_EVERY {
                        println!("{total}");
                    }
                }
            });
        }
    });
    let mut report = total.into_inner().expect("no thread panics while it holds the lock");
    report.took = began.elapsed();
    report
}

/// The recorded life of one store.
struct Tape {
    seed: u64,
    lying: bool,
    /// Whether the store acknowledges writes that are not durable. Then only what it has signed must survive.
    relaxed: bool,
    dice: Dice,
    runtime: tokio::runtime::Runtime,
    report: Report,
}

/// A store at work on a disk, and what it acknowledged when.
struct Session {
    disk: Disk,
    before: Image,
    /// The acknowledged writes, each with the number of disk operations before the acknowledgement.
    acknowledged: Vec<(usize, Done)>,
}

impl Tape {
    fn new(seed: u64, lying: bool) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        Self { seed, lying, relaxed: seed.is_multiple_of(5), dice: Dice::new(seed), runtime, report: Report::default() }
    }

    fn open(&mut self, disk: &Disk) -> Result<Standalone, String> {
        let _inside = self.runtime.enter();
        open_on(disk, self.dice.next(), self.relaxed)
    }

    /// The whole test of a seed: does the work, and cuts the power after every step.
    fn lose_power_everywhere(mut self) -> Report {
        let mut worker = Worker::new(self.dice.next());
        // Before the first power loss: the store creates the file under another name, and renames it when it is whole.
        let disk = Disk::empty_database();
        // Some stores are about to write their index, which happens every 256 rows, and have passed the first tile of
        // the tree.
        let large = self.seed.is_multiple_of(4);
        let decisions = if large { 240 } else { self.dice.below(48) as u64 };
        let mut ledger = Vec::new();
        // Otherwise the first start of the store is part of the tape.
        if large || !self.dice.once_in(4) {
            let store = self.open(&disk).expect("a store on a sound disk");
            ledger = self.runtime.block_on(worker.settle_in(&store, &disk, decisions)).expect("the disk is sound");
            store.shutdown();
        }
        let session = self.session(disk.image(), &mut worker, 2, 6).expect("the disk is sound");
        self.replay(session, &worker, &ledger, 0);
        self.report
    }

    /// Opens the store, works and shuts it down, several times.
    fn session(&mut self, image: Image, worker: &mut Worker, lives: usize, jobs: usize) -> Result<Session, String> {
        let disk = Disk::holding(image.clone());
        let mut acknowledged = Vec::new();
        for _ in 0..lives {
            let store = self.open(&disk)?;
            let mut unsynced = Vec::new();
            for _ in 0..jobs {
                for done in self.runtime.block_on(worker.work(&store, &disk)).map_err(|error| error.to_string())? {
                    let promised = !self.relaxed || matches!(done.1, Done::Signed(_));
                    if promised { acknowledged.push(done) } else { unsynced.push(done.1) }
                }
            }
            store.shutdown();
            acknowledged.extend(unsynced.into_iter().map(|done| (disk.steps(), done)));
        }
        Ok(Session { disk, before: image, acknowledged })
    }

    /// Cuts the power after each step of a session, and checks what is left.
    fn replay(&mut self, session: Session, worker: &Worker, ledger: &[Done], depth: usize) {
        let tape = session.disk.tape();
        let mut player = Player::new(session.before);
        let mut ledger = ledger.to_vec();
        let mut acknowledged = session.acknowledged.into_iter().peekable();
        // During recovery the power fails at some steps only, because each image has a tape of its own.
        let among = if depth == 0 { 1 } else { 1 + tape.len() / 2 };
        for (step, done) in tape.iter().enumerate() {
            if !(self.lying && done.is_sync()) {
                player.play(done);
            }
            while let Some((_, done)) = acknowledged.next_if(|(after, _)| *after <= step + 1) {
                ledger.push(done);
            }
            if !self.dice.once_in(among) {
                continue;
            }
            let image = player.crash(&mut self.dice);
            self.look(image, worker, &ledger, step, depth);
        }
    }

    /// Opens an image, checks it and works with it. Sometimes the power fails again meanwhile.
    fn look(&mut self, image: Image, worker: &Worker, ledger: &[Done], step: usize, depth: usize) {
        self.report.images += 1;
        self.report.again += u64::from(depth > 0);
        let looked = catch_unwind(AssertUnwindSafe(|| self.examine(image, worker, ledger, depth)));
        let wrong = match looked {
            Ok(Ok(())) => return,
            Ok(Err(wrong)) => wrong,
            Err(_) => Wrong::Panicked,
        };
        let (count, what) = match wrong {
            Wrong::Unopenable(what) => (&mut self.report.unopenable, what),
            Wrong::Lost(what) => (&mut self.report.lost, what),
            Wrong::Partial(what) => (&mut self.report.partial, what),
            Wrong::Panicked => (&mut self.report.panics, "a panic".to_owned()),
        };
        *count += 1;
        let finding = format!("seed {}, step {step}, depth {depth}: {what}", self.seed);
        self.report.findings.push(finding);
    }

    fn examine(&mut self, image: Image, worker: &Worker, ledger: &[Done], depth: usize) -> Result<(), Wrong> {
        let again = (depth < AGAIN && self.dice.once_in(3)).then(|| image.clone());
        let disk = Disk::holding(image);
        let store = self.open(&disk).map_err(Wrong::Unopenable)?;
        let reader = store.read().map_err(|error| Wrong::Unopenable(error.to_string()))?;
        let checked = reader.check().map_err(|error| Wrong::Partial(error.to_string()))?;
        self.report.redacted += checked.redacted;
        self.report.checkpoints += ledger.iter().filter(|done| matches!(done, Done::Signed(_))).count() as u64;
        match lost(&reader, ledger) {
            Ok(None) => {}
            Ok(Some(what)) => return Err(Wrong::Lost(what)),
            Err(error) => return Err(Wrong::Partial(error.to_string())),
        }
        drop((reader, store));
        if let Some(image) = again {
            let mut worker = worker.clone();
            let (lives, jobs) = (1, self.dice.below(3));
            let session = self.session(image, &mut worker, lives, jobs).map_err(Wrong::Unopenable)?;
            self.replay(session, &worker, ledger, depth + 1);
        }
        Ok(())
    }
}

/// Opens the store on a disk, with random bytes from this seed. A relaxed store syncs only when it is shut down.
pub(crate) fn open_on(disk: &Disk, seed: u64, relaxed: bool) -> Result<Standalone, String> {
    let (database, journal, mut dice) = (disk.database(), disk.journal(), Dice::new(seed));
    let opener = Opener {
        database: Box::new(move |builder| builder.create_with_backend(database.clone())),
        journal: Box::new(move || Ok(Box::new(journal.clone()))),
    };
    // Some stores end a generation every few batches, and some almost never.
    let journal_bytes = [4 << 10, 64 << 10, 1 << 20][dice.below(3)];
    let entropy = move |bytes: &mut [u8]| dice.fill(bytes);
    let options = Options {
        index_lag: 256,
        journal_bytes,
        cache_size: 1 << 20,
        entropy: Box::new(entropy),
        relaxed,
        sync_every: Duration::from_hours(24),
        ..Options::default()
    };
    Standalone::open_with(opener, Path::new("a disk of the harness"), options).map_err(|error| error.to_string())
}

/// What is wrong with an image.
enum Wrong {
    Unopenable(String),
    Lost(String),
    Partial(String),
    Panicked,
}

/// Does not print panics that are caught and counted.
pub(crate) fn quietly<T>(run: impl FnOnce() -> T) -> T {
    static QUIET: AtomicBool = AtomicBool::new(false);
    if !QUIET.swap(true, Ordering::SeqCst) {
        std::panic::set_hook(Box::new(|_| {}));
    }
    let result = run();
    let _ = std::panic::take_hook();
    QUIET.store(false, Ordering::SeqCst);
    result
}

/// The number of images from the environment, or the default.
pub(crate) fn images_or(default: u64) -> u64 {
    std::env::var("AEGIS_POWER_IMAGES").ok().and_then(|images| images.parse().ok()).unwrap_or(default)
}
