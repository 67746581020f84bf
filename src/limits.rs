//! All limits of the program, each with its unit and the reason for its value.

use std::time::Duration;

/// How long `record` waits for `spool.lock` before the event goes to `overflow.jsonl`. Short,
/// because the scanner waits for `record` and the event is safe either way.
pub const RECORD_LOCK_WAIT: Duration = Duration::from_secs(2);

/// How long all waits of `record` before the event is in the spool may take together: for
/// `telemetry-id`, `scan-count`, `spool.lock`, SQLite's own locks, and a repair. With the wait for
/// `overflow.jsonl` and the work itself, the total stays under 4 s.
pub const RECORD_WAIT: Duration = Duration::from_millis(2500);

/// How long a command that a person or cron started waits for `spool.lock`: longer than `record`,
/// because it has no overflow file to fall back on, but not so long that a person gives up.
pub const COMMAND_LOCK_WAIT: Duration = Duration::from_secs(4);

/// How long a command that only reads waits for `spool.lock` if it can't read the database
/// otherwise. Ordinary writes take less.
pub const READ_LOCK_WAIT: Duration = Duration::from_secs(2);

/// How long a writer that holds `spool.lock` waits for SQLite's own locks, which only other
/// programs (the `sqlite3` shell) or a reader at the wrong moment can hold.
pub const SQLITE_BUSY_WAIT: Duration = Duration::from_millis(1000);

/// The largest `overflow.jsonl` that `record` imports, in bytes: about 15,000 events, which take a
/// third of a second. A larger one is left to `flush` and to every command that reads the spool.
pub const RECORD_IMPORT_BYTES: u64 = 4 * 1024 * 1024;

/// The largest database into which `record` imports, in bytes. The import reads all of it to find
/// events that are already there, which takes about a fifth of a second for this size.
pub const RECORD_IMPORT_SPOOL_BYTES: u64 = 256 * 1024 * 1024;

/// The largest damaged database that `record` tries to repair, in bytes. A repair takes about 60 ms
/// per MiB. A larger one is left to `flush` and `spool check`, and the event goes to
/// `overflow.jsonl`.
pub const RECORD_REPAIR_BYTES: u64 = 8 * 1024 * 1024;

/// How long `record` may take for such a repair, for slow disks.
pub const RECORD_REPAIR_TIME: Duration = Duration::from_secs(1);

/// How long to wait for a small locked file (`telemetry-id`, `scan-count`). It is normally locked
/// for microseconds, and once for an fsync, but longer on a busy machine. An event without an id
/// would be lost.
pub const SMALL_FILE_WAIT: Duration = Duration::from_secs(1);

/// A writer that finds a WAL larger than this, in bytes, writes it back (measured; see
/// docs/performance.md). Each process that opens the spool alone reads the whole WAL, so it must
/// stay small. Writing it back costs two more fsyncs, so it must not happen too often.
pub const WAL_CHECKPOINT_BYTES: u64 = 128 * 1024;

/// A WAL file larger than this, in bytes, is truncated when it is written back. So it stays under 2
/// MiB, including what one transaction adds.
pub const WAL_MAX_BYTES: u64 = 1792 * 1024;

/// The most input for one transaction of `record --stdin`, in bytes. Keeps memory bounded however
/// long the input is.
pub const RECORD_BATCH_BYTES: usize = 512 * 1024;

/// The most events in one transaction of `record --stdin`. About 300 bytes are added to each, so
/// together with the limit above the WAL stays under [`WAL_MAX_BYTES`].
pub const RECORD_BATCH_EVENTS: usize = 2_500;

/// How much `record --stdin` reads at a time, in bytes: the capacity of a pipe.
pub const INPUT_BUFFER_BYTES: usize = 64 * 1024;

/// How long `record --stdin` waits for more input before it stores what it has read. A program that
/// writes events as they happen may be interrupted at any time, and this process with it.
pub const INPUT_PAUSE: Duration = Duration::from_millis(50);

/// The longest line of input that is parsed, in bytes. A valid event is under 2 KiB, so a longer
/// line is not an event.
pub const INPUT_LINE_BYTES: usize = 1024 * 1024;

/// The largest segment file, in bytes (GitHub truncates what it returns at 1 MB, and one file over
/// that can blank the others).
pub const SEGMENT_BYTES: usize = 512 * 1024;

/// The most segments in one request: 4 MiB of content. PATCH bodies of 8 to 10 MB have been
/// reported to fail.
pub const SEGMENTS_PER_REQUEST: usize = 8;

/// The most events in one request to a collector, which accepts no more.
pub const COLLECTOR_EVENTS: usize = 500;

/// The largest answer of a collector that is read, in bytes: 500 rejected lines take 60 KiB.
pub const COLLECTOR_ANSWER_BYTES: u64 = 1024 * 1024;

/// The largest page of a collector's events, in bytes: 1,000 lines of 4 KiB.
pub const COLLECTOR_PAGE_BYTES: u64 = 1_000 * (4 * 1024 + 1);

/// The most pages of a collector's events that are read: 20 million events.
pub const COLLECTOR_PAGES: usize = 20_000;

/// How long to wait before a collector that said that it is closed is tried again.
pub const COLLECTOR_CLOSED_PAUSE: Duration = Duration::from_secs(7 * 24 * 3600);

/// The most events that one flush sends. It keeps their ids in memory, 16 bytes each, to check
/// whether they have already arrived. The rest waits for the next flush. (A flush of the usual 30 s
/// sends about 300,000.)
pub const FLUSH_EVENTS: usize = 500_000;

/// Time to connect. A server that does not answer within this time is not reachable.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Time for one request, from connecting to the last byte of the answer. GitHub itself ends a
/// request after 10 s.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Time for a whole flush, unless `--deadline` says otherwise. Short, because cron starts one every
/// few minutes.
pub const FLUSH_DEADLINE: Duration = Duration::from_secs(30);

/// The pause between two writes to GitHub (its documentation: "wait at least one second between
/// each request").
pub const GITHUB_WRITE_SPACING: Duration = Duration::from_secs(1);

/// The largest answer that is read, in bytes: a Gist lists at most 300 files of at most 1 MB each.
pub const ANSWER_BYTES: u64 = 320 * 1024 * 1024;

/// The longest string in an answer, in bytes as it is sent: a content of 1 MB in which every
/// character is escaped.
pub const ANSWER_STRING_BYTES: usize = 8 * 1024 * 1024;

/// The deepest nesting of values in an answer; in a Gist it is four.
pub const ANSWER_DEPTH: usize = 32;

/// The most files of a Gist whose names are kept: ten times what GitHub lists.
pub const GIST_FILES: usize = 3_000;

/// How much of a Gist's contents `view` keeps in memory, in bytes. The rest is read file by file
/// from its `raw_url`.
pub const VIEW_CONTENT_BYTES: usize = 128 * 1024 * 1024;

/// How many redirects within the same host are followed for one request. GitHub uses one, for
/// something that was renamed or moved.
pub const REDIRECTS: u32 = 3;

/// The first step of the backoff: one run of cron.
pub const BACKOFF_FIRST: Duration = Duration::from_secs(60);

/// The longest step of the backoff, so that a machine still tries a few times a day.
pub const BACKOFF_MAX: Duration = Duration::from_secs(6 * 3600);

/// The shortest wait after a rate limit without a stated end (source: GitHub's documentation).
pub const SERVER_WAIT_DEFAULT: Duration = Duration::from_secs(60);

/// The longest wait that a server can ask for. GitHub's rate limits last one hour, and a wrong
/// clock must not stop uploads forever.
pub const SERVER_WAIT_MAX: Duration = Duration::from_secs(24 * 3600);

/// How long a destination that refused us is paused. Somebody may have fixed the problem by then.
pub const PAUSE: Duration = Duration::from_secs(24 * 3600);

/// How many times a request is repeated at once after a 409. After that, the next flush tries again.
pub const CONFLICT_RETRIES: u32 = 3;

/// The longest random pause before such a retry, so that two writers that collided don't collide again.
pub const CONFLICT_PAUSE: Duration = Duration::from_millis(500);

/// The number of attempts stored for `status`: about a day with a flush every 15 minutes.
pub const ATTEMPTS_KEPT: u32 = 100;

/// How long sent rows are kept, so that the user can see what was sent in the last month.
pub const SENT_KEPT_FOR: Duration = Duration::from_secs(30 * 86_400);

/// The most sent rows that are kept: 4 MiB of ordinary events.
pub const SENT_KEPT_ROWS: u64 = 10_000;

/// How long pending rows are kept. A collector accepts no older ones.
pub const PENDING_KEPT_FOR: Duration = Duration::from_secs(90 * 86_400);

/// The largest step of the clock between two prunes that is believed at once. A machine that is
/// used once a week makes such a step.
pub const CLOCK_LEAP: Duration = Duration::from_secs(7 * 86_400);

/// How much later a second reading must be to confirm the first reading after a larger step. A
/// wrong clock is usually corrected within a day.
pub const CLOCK_SETTLED_AFTER: Duration = Duration::from_secs(86_400);

/// How many rows retention deletes in one transaction: half a megabyte of ordinary rows, so that
/// the WAL stays under 2 MiB.
pub const RETENTION_STEP_ROWS: u32 = 1_000;

/// How many pages are given back to the file system in one transaction: 1 MiB.
pub const RETENTION_STEP_PAGES: u32 = 256;

/// The size limit of the spool, unless `JMO_TELEMETRY_SPOOL_MAX` says otherwise: enough for some
/// 150,000 events, but a small part of any disk.
pub const SPOOL_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// The largest `overflow.jsonl`, in bytes: the same as the spool that it stands in for.
pub const OVERFLOW_BYTES: u64 = SPOOL_MAX_BYTES;

/// How long to wait for the lock of `overflow.jsonl`: longer than an append or an ordinary import
/// takes, but short enough for a `record` that has already waited for the database.
pub const OVERFLOW_WAIT: Duration = Duration::from_millis(500);

/// The banner is shown while `scan-count` is below this, so that it is likely to be read once.
pub const BANNER_SCANS: u64 = 3;

/// Rows of `spool list`, unless `--limit` says otherwise: a screen or two.
pub const LIST_LIMIT: u32 = 50;

/// Time for one request of `view`, from connecting to the last byte. Its answer may be 300 MB, and
/// a person is watching.
pub const VIEW_TIMEOUT: Duration = Duration::from_secs(300);

/// The largest file that is read from a `raw_url`, in bytes: GitHub gives at most 10 MB of one.
pub const RAW_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// The largest total size of the answers that `view` caches, in bytes: a few Gists of 100,000 events.
pub const VIEW_CACHE_BYTES: u64 = 256 * 1024 * 1024;

/// How many of the last events the dashboard shows: few enough to fit on a screen with the rest.
pub const VIEW_RECENT: usize = 10;

/// How many notes about its source `view` shows; the others are only counted. A directory can
/// contain any number of unreadable files.
pub const VIEW_NOTES: usize = 20;

/// How many different words of one list are counted separately; the others are counted together.
/// Real lists have a few dozen, but a source may contain anything.
pub const VIEW_WORDS: usize = 10_000;

/// The longest word that is kept, in characters; longer ones are shortened.
pub const VIEW_WORD_CHARS: usize = 100;

/// A read of more than this many bytes shows its progress. It takes about a tenth of a second.
pub const LONG_READ_BYTES: u64 = 16 * 1024 * 1024;

/// How many different event names the page distinguishes: one for each of 32 bits.
pub const PAGE_EVENTS: usize = 32;

/// How many different words of a kind (versions, tools, …) the page distinguishes; the others are
/// counted together.
pub const PAGE_WORDS: usize = 100;

/// The most counts in the page's data, by day, event, version and word. More would make the page
/// larger than 20 MB, so further events are counted without their day. Years of ordinary events
/// need fewer.
pub const PAGE_CELLS: usize = 1_000_000;

/// The most entries about who sent something on which day in the page's data. More would add over 3
/// MB, so then the page shows the number of anonymous ids only for all events together.
pub const PAGE_VISITS: usize = 150_000;

/// The largest size of the small files of the home (`consent.json`, `destination.json`,
/// `telemetry-id`, …), in bytes: a hundred times what this program writes.
pub const SMALL_FILE_BYTES: u64 = 64 * 1024;

/// How long a scheduler's own program (`systemctl`, `crontab`, …) may take. Most answer within
/// milliseconds, Task Scheduler on a busy machine within seconds. One that hangs must not make
/// `status` hang.
pub const SCHEDULER_WAIT: Duration = Duration::from_secs(10);
