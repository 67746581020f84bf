//! Every limit of the program, in one place, each with its unit and the reason for its value.

use std::time::Duration;

/// How long `record` waits for `spool.lock` before the event goes to `overflow.jsonl`: the scanner
/// waits for `record`, so the wait is short, and the event is safe either way.
pub const RECORD_LOCK_WAIT: Duration = Duration::from_secs(2);

/// All that `record` waits for its event's way into the spool, together: `telemetry-id`, `scan-count`,
/// `spool.lock`, SQLite's own locks, a repair. With the wait for `overflow.jsonl` and the work itself it
/// stays under 4 s.
pub const RECORD_WAIT: Duration = Duration::from_millis(2500);

/// How long a command that a person or cron started waits for `spool.lock`: longer than `record`,
/// since it has no overflow to fall back on, and shorter than a person's patience.
pub const COMMAND_LOCK_WAIT: Duration = Duration::from_secs(4);

/// How long a command that only reads waits for `spool.lock` when it can't get at the database
/// otherwise: the longest usual write takes less.
pub const READ_LOCK_WAIT: Duration = Duration::from_secs(2);

/// How long a writer that already holds `spool.lock` waits for SQLite's own locks, which only
/// foreign programs (the `sqlite3` shell) or a reader at the wrong moment can hold.
pub const SQLITE_BUSY_WAIT: Duration = Duration::from_millis(1000);

/// The largest `overflow.jsonl` that `record` takes in, in bytes: about 15,000 events, a third of a
/// second. A larger one is left to `flush` and to every command that looks at the spool.
pub const RECORD_IMPORT_BYTES: u64 = 4 * 1024 * 1024;

/// The largest database in which `record` looks for events of `overflow.jsonl` that are there
/// already, in bytes: reading it takes about a fifth of a second.
pub const RECORD_IMPORT_SPOOL_BYTES: u64 = 256 * 1024 * 1024;

/// The largest database that `record` begins to repair when it finds it damaged, in bytes. A repair
/// takes about 60 ms a MiB; a larger one is left to `flush` and `spool check`, and the event goes to
/// `overflow.jsonl`.
pub const RECORD_REPAIR_BYTES: u64 = 8 * 1024 * 1024;

/// How long `record` may take for such a repair, even on a slow disk.
pub const RECORD_REPAIR_TIME: Duration = Duration::from_secs(1);

/// How long to wait for a small locked file (`telemetry-id`, `scan-count`). It is held for
/// microseconds, and once in its life for an fsync; only on a busy machine does the holder take longer.
/// An event without an id would be lost.
pub const SMALL_FILE_WAIT: Duration = Duration::from_secs(1);

/// The WAL is written back by the writer that finds more than this in it, in bytes (measured; see
/// docs/performance.md). Each process that opens the spool alone reads all of it, so it must stay
/// small. Writing it back costs two more fsyncs, so that must not happen too often.
pub const WAL_CHECKPOINT_BYTES: u64 = 128 * 1024;

/// A WAL file larger than this, in bytes, is truncated when it is written back: so it stays under 2
/// MiB with all that one transaction brings.
pub const WAL_MAX_BYTES: u64 = 1792 * 1024;

/// One transaction of `record --stdin`, in bytes of input: keeps memory bounded however long the
/// input is.
pub const RECORD_BATCH_BYTES: usize = 512 * 1024;

/// One transaction of `record --stdin`, in events: what is added to each is about 300 bytes, so
/// that with the above the WAL stays under [`WAL_MAX_BYTES`].
pub const RECORD_BATCH_EVENTS: usize = 2_500;

/// What `record --stdin` asks the system for at a time, in bytes: the most that a pipe holds.
pub const INPUT_BUFFER_BYTES: usize = 64 * 1024;

/// The longest line of input that is looked at, in bytes. A clean event is under 2 KiB; the rest is
/// not an event.
pub const INPUT_LINE_BYTES: usize = 1024 * 1024;

/// The largest segment file, in bytes (GitHub truncates what it returns at 1 MB, and one file over
/// that can blank the others).
pub const SEGMENT_BYTES: usize = 512 * 1024;

/// The most segments in one request: 4 MiB of content. PATCH bodies of 8 to 10 MB were reported to
/// fail.
pub const SEGMENTS_PER_REQUEST: usize = 8;

/// The most events in one request to a collector, which takes no more.
pub const COLLECTOR_EVENTS: usize = 500;

/// The largest answer of a collector that is read, in bytes: 500 rejected lines take 60 KiB.
pub const COLLECTOR_ANSWER_BYTES: u64 = 1024 * 1024;

/// The largest page of a collector's events, in bytes: 1,000 lines of 4 KiB.
pub const COLLECTOR_PAGE_BYTES: u64 = 1_000 * (4 * 1024 + 1);

/// The most pages of a collector's events that are read: 20 million events.
pub const COLLECTOR_PAGES: usize = 20_000;

/// A collector that says that it is closed is tried again after this time.
pub const COLLECTOR_CLOSED_PAUSE: Duration = Duration::from_secs(7 * 24 * 3600);

/// The most events that one flush sends: it keeps the ids of what waits in memory, 16 bytes each, to
/// see whether they have arrived already. More wait for the next flush, and a flush of the usual
/// 30 s sends about 300,000.
pub const FLUSH_EVENTS: usize = 500_000;

/// Time to connect: a machine that does not answer within this is not there.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Time for one request, from connecting to the last byte of the answer. GitHub itself ends a
/// request after 10 s.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Time for a whole flush, unless `--deadline` says otherwise: cron starts one every few minutes.
pub const FLUSH_DEADLINE: Duration = Duration::from_secs(30);

/// Pause between two writes to GitHub (its documentation: "wait at least one second between each
/// request").
pub const GITHUB_WRITE_SPACING: Duration = Duration::from_secs(1);

/// The largest answer that is read, in bytes: a Gist lists at most 300 files of at most 1 MB each.
pub const ANSWER_BYTES: u64 = 320 * 1024 * 1024;

/// The longest text in an answer, in bytes as it is sent: a content of 1 MB, every character of it
/// escaped.
pub const ANSWER_STRING_BYTES: usize = 8 * 1024 * 1024;

/// How deep the values of an answer are nested; a Gist's are four deep.
pub const ANSWER_DEPTH: usize = 32;

/// The most files of a Gist whose names are kept: ten times what GitHub lists.
pub const GIST_FILES: usize = 3_000;

/// How much of a Gist's contents `view` keeps in memory, in bytes; what is beyond is read file by
/// file from where it is.
pub const VIEW_CONTENT_BYTES: usize = 128 * 1024 * 1024;

/// How many redirects of the same host are followed for one request: GitHub gives one, for what was
/// renamed or moved.
pub const REDIRECTS: u32 = 3;

/// First step of the backoff: one run of cron.
pub const BACKOFF_FIRST: Duration = Duration::from_secs(60);

/// Longest step of the backoff, so that a machine tries a few times a day.
pub const BACKOFF_MAX: Duration = Duration::from_secs(6 * 3600);

/// A server that limits us without saying until when is left alone at least this long (source:
/// GitHub's documentation).
pub const SERVER_WAIT_DEFAULT: Duration = Duration::from_secs(60);

/// The longest wait that a server can ask for. GitHub's windows are one hour long, and a wrong clock
/// must not stop uploads for ever.
pub const SERVER_WAIT_MAX: Duration = Duration::from_secs(24 * 3600);

/// A paused destination is tried again after this: somebody may have mended it.
pub const PAUSE: Duration = Duration::from_secs(24 * 3600);

/// How many times a request is repeated at once after a 409. The next flush goes on from there.
pub const CONFLICT_RETRIES: u32 = 3;

/// The longest pause before such a retry: two writers that collided should not meet again.
pub const CONFLICT_PAUSE: Duration = Duration::from_millis(500);

/// Attempts remembered for `status`: about a day of a flush every 15 minutes.
pub const ATTEMPTS_KEPT: u32 = 100;

/// Sent rows are kept this long, so that a user can see what was sent in the last month.
pub const SENT_KEPT_FOR: Duration = Duration::from_secs(30 * 86_400);

/// At most this many sent rows are kept: 4 MiB of usual events.
pub const SENT_KEPT_ROWS: u64 = 10_000;

/// Pending rows are kept this long, since a collector accepts no older ones.
pub const PENDING_KEPT_FOR: Duration = Duration::from_secs(90 * 86_400);

/// A step of the clock between two prunes that is believed at once: a machine that is used once a
/// week takes it.
pub const CLOCK_LEAP: Duration = Duration::from_secs(7 * 86_400);

/// How much later than the first reading after a larger step a second one must be to confirm it: a
/// wrong clock is usually set right within a day.
pub const CLOCK_SETTLED_AFTER: Duration = Duration::from_secs(86_400);

/// Rows that retention deletes in one transaction, so that the WAL stays under 2 MiB: half a
/// megabyte of usual rows.
pub const RETENTION_STEP_ROWS: u32 = 1_000;

/// Pages that are given back to the file system in one transaction: 1 MiB.
pub const RETENTION_STEP_PAGES: u32 = 256;

/// Size limit of the spool, unless `JMO_TELEMETRY_SPOOL_MAX` says otherwise: room for some 150,000
/// events, and too little for anybody to miss.
pub const SPOOL_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// The largest `overflow.jsonl`, in bytes: as bounded as the spool it stands in for.
pub const OVERFLOW_BYTES: u64 = SPOOL_MAX_BYTES;

/// How long to wait for the lock of `overflow.jsonl`: longer than an append or a usual import takes,
/// and short enough for `record`, which may have waited for the database before.
pub const OVERFLOW_WAIT: Duration = Duration::from_millis(500);

/// The banner is shown while `scan-count` is below this: often enough to be read once.
pub const BANNER_SCANS: u64 = 3;

/// Rows of `spool list` unless `--limit` says otherwise: a screen or two.
pub const LIST_LIMIT: u32 = 50;

/// Time for one request of `view`, from connecting to the last byte: its answer may be 300 MB, and
/// a person watches.
pub const VIEW_TIMEOUT: Duration = Duration::from_secs(300);

/// The largest file that is read from a `raw_url`, in bytes: GitHub gives at most 10 MB of one.
pub const RAW_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// Answers that `view` keeps, all together, in bytes: a few Gists of 100,000 events.
pub const VIEW_CACHE_BYTES: u64 = 256 * 1024 * 1024;

/// The last events that the dashboard shows: few enough to fit on a screen with the rest.
pub const VIEW_RECENT: usize = 10;

/// Remarks about what was read that `view` shows; the others are counted. A directory can hold any
/// number of files that can't be read.
pub const VIEW_NOTES: usize = 20;

/// Different words that are counted apart in one list; the others are counted together. Real lists
/// have a few dozen, and a source can be anybody's.
pub const VIEW_WORDS: usize = 10_000;

/// The most of a word that is kept, in characters.
pub const VIEW_WORD_CHARS: usize = 100;

/// A read that is longer than this, in bytes, shows its progress: it takes about a tenth of a
/// second.
pub const LONG_READ_BYTES: u64 = 16 * 1024 * 1024;

/// Different event names on the page: one bit each of 32.
pub const PAGE_EVENTS: usize = 32;

/// Different words of a kind (versions, tools, …) on the page; the others are counted together.
pub const PAGE_WORDS: usize = 100;

/// Counts on the page, by day, event, version and word. Years of ordinary events have fewer; more
/// would make it larger than 20 MB, and then the events that follow are counted without their day.
pub const PAGE_CELLS: usize = 1_000_000;

/// Who sent something on which day, on the page: more would make it larger than 3 MB, and then the
/// number of anonymous ids is shown for all events alone.
pub const PAGE_VISITS: usize = 150_000;

/// The small files of the home (`consent.json`, `destination.json`, `telemetry-id`, …), in bytes:
/// a hundred times what this program writes into one.
pub const SMALL_FILE_BYTES: u64 = 64 * 1024;

/// How long a scheduler's own program (`systemctl`, `crontab`, …) may take. They answer within
/// milliseconds, Task Scheduler on a busy machine within seconds; one that hangs must not hang
/// `status`.
pub const SCHEDULER_WAIT: Duration = Duration::from_secs(10);
