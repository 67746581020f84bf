// Every limit of the service, in one place, each with its unit and the reason for its value.

/** The largest body on the wire, in bytes: a batch of 512 KiB packs to a tenth of that. */
export const WIRE_BYTES = 256 * 1024;

/** The largest body unpacked, in bytes: twice what the program sends. */
export const BODY_BYTES = 1024 * 1024;

/** The most lines of a batch, which also bounds the time that one request takes. */
export const BATCH_LINES = 500;

/** The longest line, in bytes. A real one is below 1 KiB. */
export const LINE_BYTES = 4 * 1024;

/** The largest body of `forget`, in bytes: an id and its name. */
export const FORGET_BYTES = 256;

/** How far ahead a clock may be, in milliseconds. */
export const AHEAD_MS = 86_400_000;

/** Days that raw events are kept, unless `RETENTION_DAYS` says otherwise. */
export const RETENTION_DAYS = 90;

/** Versions of an event on one day that are counted apart, for longer than raw events are kept: real ones are some dozens. */
export const DAY_VERSIONS = 100;

/** Events a day, unless `MAX_EVENTS_A_DAY` says otherwise. README.md has what they cost. */
export const MAX_EVENTS_A_DAY = 1_000_000;

/** How long a client waits when the database has trouble, in seconds. */
export const TROUBLE_WAIT_SECONDS = 30;

/** How long a client waits that sent too many requests, in seconds: the limiter's period. */
export const RATE_WAIT_SECONDS = 60;

/** The most lines of one page of raw events. */
export const PAGE_LINES = 1_000;

/** The largest parameter of a statement, in bytes: what D1 allows for a string. */
export const D1_VALUE_BYTES = 2_000_000;

/** Rows that the cron deletes with one statement: D1 stops one that takes 30 s. */
export const RETENTION_STEP_ROWS = 25_000;

/** Statements that the cron runs at most: D1 allows 50 an invocation on the Free plan. The rest goes an hour later. */
export const RETENTION_STEPS = 40;

/**
 * Rows of an answer of the database, each with the words of a day, an event and a version: about 2 KB, so 10 MB of the
 * 128 MB that a Worker has. A collector of ten years asks less than 50 times, which is what D1 allows on the Free plan.
 */
export const PARTS_A_QUERY = 5_000;

/** Different words of one list of the statistics; the others are counted together. Real lists have a tenth of it. */
export const STATS_WORDS = 10_000;

/** Different versions on the page; the least common others are counted together. */
export const CUBE_VERSIONS = 100;

/** Who sent something on which day, on the page. Above it, ids are counted for all events alone. */
export const CUBE_VISITS = 150_000;
