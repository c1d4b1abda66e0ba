//! The journal: the file in which a batch becomes durable, with one append and one sync.
//!
//! A commit of the database writes about ten pages and syncs twice. A batch changes a few hundred bytes. So the writer
//! appends the changes of a batch to the journal and syncs that; then it commits the same batch to the database without
//! a sync, so that readers see it. From time to time a *checkpoint* commits the database durably, and the journal
//! begins again at its start. When the store opens, it replays the journal into the database.
//!
//! - `changes`: what one transaction changed, as bytes. `replay`: writes such bytes to the tables.
//! - `layout`: headers and frames as bytes; finds the frames of a file and tells a torn end from damage.
//! - `file`: the open journal. `commit`: the order of steps between the journal and the database. `fault`: why a
//!   journal does not fit its database.
//!
//! The journal holds every change, also those of derived tables. A batch writes some of them on top of what a
//! derivation wrote (a counter). A replay without the derivation would count twice.
//!
//! Two crates do a part of this. okaywal is not maintained any more, moves segments between files, and ends quietly at
//! the first bad entry, whether torn or damaged. commitlog keeps its messages for good. What is difficult here is the
//! agreement with the database, and no crate has that. The checksum is crc32fast, which the field uses.
//!
//! # The file
//!
//! Integers are big-endian.
//!
//! ```text
//!      0  header of every even generation
//!   4096  header of every odd generation
//!   8192  frames, each at a multiple of 8 bytes
//!
//! header   0            8          24           32        40      44
//!          ├────────────┼──────────┼────────────┼─────────┼───────┤
//!          │ "aegisjnl" │ store id │ generation │ nonce   │ crc32 │
//!
//! frame    0        4       8       16       24       32
//!          ├────────┼───────┼────────┼────────┼────────┼──────────────────────┐
//!          │ length │ crc32 │ nonce  │ number │ synced │ changes, then zeros  │
//!
//! change   1 ‖ length (1) ‖ name                            names the next table, counted from 0
//!          2 ‖ table (1) ‖ length (4) ‖ key                 removes a key
//!          3 ‖ table (1) ‖ length (4) ‖ key ‖ length (4) ‖ value
//! ```
//!
//! A *generation* is what is written between two checkpoints; the first is 1. Its *nonce* is random, so that no frame
//! of an earlier generation can be taken for one of this. Frames are numbered from 1 in each generation. *Synced* is
//! the number of the last frame that was durable when this one was written. The length of a frame is that of its
//! changes; its checksum covers the length, and everything from the nonce to the end of the changes.
//!
//! The database keeps its *position* in the table `meta`: the generation, the number of the last frame that it has, and
//! whether the store was closed in good order. Each commit of the database writes it. So a replay starts with the right
//! frame, whatever redb made durable by itself. A replay can be repeated: it ends in one transaction.
//!
//! # A batch, and a checkpoint
//!
//! ```text
//! batch        1  write the frame        2  sync it        3  commit to the database without a sync     4  answer
//! checkpoint   1  write the header of the next generation, and sync
//!              2  commit to the database durably, with the position (next generation, 0)
//!              3  the next frame goes to the start of the frames
//! ```
//!
//! When the power fails, the next start finds this:
//!
//! - In a batch, before its sync returned: the frame is whole and is replayed, or it is a torn end and is dropped.
//!   Nobody was answered.
//! - After the sync of a batch: its frame is replayed.
//! - In step 1 of a checkpoint: the header is torn or whole. The database is in the old generation, and its frames are
//!   replayed.
//! - In step 2: redb has the old commit or the new one. With the old one, the frames are replayed. With the new one,
//!   none is left.
//! - After step 2: the next frame is torn or whole. Old frames behind it have another nonce.
//! - During the replay: the database is as it was, and the replay is done again.
//!
//! A file that is too short for its frames, or preallocated and not written yet, reads as a torn end.
//!
//! **What does not start.** The store never falls back to an older commit of the database. It does not open if the
//! journal is missing (unless the store was closed in good order, or never had one), belongs to another store, is older
//! or newer than the database, or is damaged. Damage is a bad frame that a later frame calls synced. A torn end has no
//! such later frame, because it was never synced. The last synced frame is the exception: if only that one is damaged,
//! it looks like a torn end. An older copy of the same generation looks so too. Checkpoints that were signed and
//! witnesses reveal both. [`Options::discard_journal`](super::Options::discard_journal) gives up a journal on purpose.
//!
//! **Its bound.** A checkpoint follows when the frames have [`Options::journal_bytes`](super::Options::journal_bytes)
//! (4 MiB), in idle times, and at the end of a run. The file has at most that and one frame. A batch ends when it has
//! 1 MiB of changes, so a frame has that and the changes of one job. The replay of 4 MiB takes about 0.1 s.
//!
//! **Space.** The file grows by a quarter of its bound at a time. It is written with zeros, because a sync is fast only
//! if the file system has nothing to allocate. Later generations write over it. On a full disk, appends go on in the
//! space that the file has. When it needs more, or a checkpoint does, that is a fault: the writer opens the store
//! again. Without space it does not attempt a checkpoint. It writes the journal again in place and syncs it, keeps the
//! replayed changes in memory, and appends the record of the full disk as one more frame. The reserve has space for
//! that.
//!
//! **A sync that fails or hangs.** After a failed sync, the operating system may show bytes that are not on the disk,
//! and may not write them again. So the writer opens the store again, and then nothing depends on them: a checkpoint
//! writes the replayed changes to the database, or, on a full disk, the frames are written again. A commit of the
//! database that failed is uncertain in the same way: no frame of its generation is written before another commit
//! succeeded. A sync that hangs holds the writer, which [`pulse`](super::pulse) reports.
//!
//! **Relaxed.** Frames are written and not synced; [`Options::sync_every`](super::Options::sync_every) is the time of
//! the next sync. What a relaxed store has acknowledged after that sync may be the torn end.

pub(super) mod changes;
pub(super) mod commit;
pub(super) mod fault;
pub(super) mod file;
mod layout;
pub(super) mod replay;
