// How fast the service is, measured as a client sees it: `node bench/run.mjs [EVENTS]` (1,000,000 unless told otherwise).
//
// 1. Batches of 500 lines, one after the other, against a Worker that only inserts them (bench/bare.mjs).
// 2. The same with EVENTS events there, and what the page's data and the statistics then cost.

import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { gzipSync } from "node:zlib";

import { Log, LogLevel, Miniflare } from "miniflare";

const EVENTS = Number(process.argv[2] ?? 1_000_000);
const LINES = 500;
const ROUNDS = 40;
const TOKEN = "bench";

const sample = readFileSync(new URL("../fixtures/accept.ndjson", import.meta.url), "utf8")
  .split("\n")
  .slice(0, 6)
  .map((line) => JSON.parse(line));
let made = 0;

/** 500 events as one machine sends them: of one id and two days. The next batch is another machine's. */
function batch() {
  const machine = made / LINES;
  const user = (machine % 10_000).toString(16).padStart(8, "0");
  const lines = [];
  for (let n = 0; n < LINES; n += 1) {
    made += 1;
    const at = Date.now() - ((machine % 60) + (n % 2)) * 86_400_000;
    const time = at.toString(16).padStart(12, "0");
    lines.push(
      JSON.stringify({
        ...sample[n % sample.length],
        anonymous_id: `${user}-0000-4000-8000-00000000${user.slice(4)}`,
        timestamp: new Date(at).toISOString(),
        event_id: `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-${made.toString(16).padStart(12, "0")}`,
      }),
    );
  }
  return gzipSync(lines.join("\n") + "\n");
}

async function send(url, body) {
  const response = await fetch(`${url}/v1/events`, {
    method: "POST",
    headers: {
      "Content-Type": "application/x-ndjson",
      "Content-Encoding": "gzip",
      "Idempotency-Key": `events-20261124-${made.toString(16).padStart(16, "0")}`,
    },
    body,
  });
  const answer = await response.json();
  if (answer.accepted !== LINES) throw new Error(JSON.stringify(answer));
}

async function time(make) {
  const start = performance.now();
  await make();
  return performance.now() - start;
}

const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];

async function rounds(url, count) {
  const times = [];
  for (let n = 0; n < count; n += 1) {
    const body = batch();
    times.push(await time(() => send(url, body)));
  }
  return median(times);
}

async function bare() {
  const service = new Miniflare({
    log: new Log(LogLevel.ERROR),
    cf: false,
    modules: true,
    scriptPath: new URL("bare.mjs", import.meta.url).pathname,
    compatibilityDate: "2026-04-01",
    compatibilityFlags: ["nodejs_compat"],
    d1Databases: { DB: "bare" },
    d1Persist: join(scratch, "bare"),
  });
  const db = await service.getD1Database("DB");
  await db.exec(
    "CREATE TABLE events (event_id TEXT NOT NULL PRIMARY KEY, anonymous_id TEXT, line TEXT) STRICT, WITHOUT ROWID",
  );
  const url = (await service.ready).origin;
  return { url, end: () => service.dispose() };
}

async function ours() {
  const settings = ["MAX_EVENTS_A_DAY=1000000000", "REQUESTS_A_MINUTE=1000000000"];
  const child = spawn(
    process.execPath,
    [
      "serve.mjs",
      "--stats-token",
      TOKEN,
      "--persist",
      join(scratch, "ours"),
      ...settings.flatMap((text) => ["--env", text]),
    ],
    { cwd: new URL("..", import.meta.url).pathname, stdio: ["ignore", "pipe", "inherit"] },
  );
  const first = await new Promise((resolve) => child.stdout.once("data", resolve));
  return { url: JSON.parse(first.toString()).url, end: () => child.kill() };
}

async function reads(url) {
  const get = async (path) => {
    const response = await fetch(`${url}${path}`, {
      headers: { Authorization: `Bearer ${TOKEN}` },
    });
    return (await response.text()).length;
  };
  const row = {};
  for (const path of ["/v1/stats", "/v1/cube", "/v1/events?limit=1000"]) {
    const times = [];
    let bytes = 0;
    for (let n = 0; n < 5; n += 1) times.push(await time(async () => (bytes = await get(path))));
    row[path] = `${median(times).toFixed(0)} ms, ${(bytes / 1024).toFixed(0)} KiB`;
  }
  return row;
}

const scratch = await mkdtemp(join(tmpdir(), "collector-bench-"));
const perSecond = (ms) =>
  `${ms.toFixed(1)} ms a batch, ${Math.round((LINES * 1000) / ms)} events a second`;
console.log(`${cpus()[0].model}, ${cpus().length} cores, Node ${process.version}`);

const [one, other] = [await bare(), await ours()];
await rounds(one.url, 5);
await rounds(other.url, 5);
// In turns, so that the machine's moods meet both.
const times = { bare: [], ours: [] };
for (let n = 0; n < 4; n += 1) {
  times.bare.push(await rounds(one.url, ROUNDS / 4));
  times.ours.push(await rounds(other.url, ROUNDS / 4));
}
const [bareTime, oursTime] = [median(times.bare), median(times.ours)];
console.log(`bare Worker:  ${perSecond(bareTime)}`);
console.log(
  `collector:    ${perSecond(oursTime)} (${(bareTime / oursTime).toFixed(2)} of the bare one's speed)`,
);
console.log("reading, few events:", await reads(other.url));

for (let n = 0; n < EVENTS / LINES; n += 1) await send(other.url, batch());
const fullTime = await rounds(other.url, ROUNDS);
console.log(
  `collector with ${EVENTS} events: ${perSecond(fullTime)} (${(fullTime / oursTime).toFixed(2)} times as long)`,
);
console.log("reading:", await reads(other.url));

other.end();
await one.end();
await rm(scratch, { recursive: true, force: true });
