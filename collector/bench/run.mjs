// How fast the service is, measured as a client sees it: `node bench/run.mjs [EVENTS]` (1,000,000 unless told otherwise).
//
// 1. Batches of 500 lines, one after the other, in turns with a Worker that only inserts them (bench/bare.mjs): the time
//    that a client waits, and the CPU time of workerd, which other work on the machine changes less.
// 2. The same with 10,000 and with EVENTS events there, and what the page's data and the statistics then cost.

import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { gzipSync } from "node:zlib";

import { Log, LogLevel, Miniflare } from "miniflare";

const EVENTS = Number(process.argv[2] ?? 1_000_000);
const LINES = 500;
const ROUNDS = 7;
const BATCHES = 20;
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

async function send(service, body) {
  const response = await fetch(`${service.url}/v1/events`, {
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
  service.stored += LINES;
}

async function time(make) {
  const start = performance.now();
  await make();
  return performance.now() - start;
}

const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];

/** A round of batches: the median of their times, and the CPU time that each took of workerd, in milliseconds. */
async function round(service) {
  const before = cpuTime(service.pid);
  const times = [];
  for (let n = 0; n < BATCHES; n += 1) {
    const body = batch();
    times.push(await time(() => send(service, body)));
  }
  return { wait: median(times), cpu: (cpuTime(service.pid) - before) / BATCHES };
}

/** What all threads of a process took so far, in milliseconds; only Linux says it to others. */
function cpuTime(pid) {
  const tasks = `/proc/${pid}/task`;
  if (!existsSync(tasks)) return NaN;
  const ofTask = (task) => Number(readFileSync(`${tasks}/${task}/schedstat`, "utf8").split(" ")[0]);
  return readdirSync(tasks).reduce((sum, task) => sum + ofTask(task), 0) / 1e6;
}

/** The workerd that a process has started. */
function workerdOf(parent) {
  const children = `/proc/${parent}/task/${parent}/children`;
  if (!existsSync(children)) return 0;
  const isWorkerd = (pid) => readFileSync(`/proc/${pid}/comm`, "utf8") === "workerd\n";
  return readFileSync(children, "utf8").trim().split(" ").find(isWorkerd) ?? 0;
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
  return { url, stored: 0, pid: workerdOf(process.pid), end: () => service.dispose() };
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
  const { url } = JSON.parse(first.toString());
  return { url, stored: 0, pid: workerdOf(child.pid), end: () => child.kill() };
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
function report(name, { wait, cpu }) {
  const speed = `${wait.toFixed(1)} ms a batch, ${Math.round((LINES * 1000) / wait)} events a second`;
  console.log(`${name.padEnd(30)} ${speed}, ${cpu.toFixed(1)} ms of CPU a batch`);
}

/** The median of rounds, each number for itself. */
const ofRounds = (rounds) => ({
  wait: median(rounds.map(({ wait }) => wait)),
  cpu: median(rounds.map(({ cpu }) => cpu)),
});

/** Both in turns, so that whatever else the machine does meets both. Returns how much more ours takes. */
async function compare(title) {
  const pairs = [];
  for (let n = 0; n < ROUNDS; n += 1) pairs.push([await round(one), await round(other)]);
  report("bare Worker", ofRounds(pairs.map(([bare]) => bare)));
  report(`collector, ${title}`, ofRounds(pairs.map(([, ours]) => ours)));
  const more = (of) => pairs.map(([bare, ours]) => ours[of] / bare[of]).sort((a, b) => a - b);
  const wait = more("wait");
  console.log(
    `  ${(1 / median(wait)).toFixed(2)} of the bare one's speed ` +
      `(rounds: ${(1 / wait.at(-1)).toFixed(2)} to ${(1 / wait[0]).toFixed(2)}), ` +
      `${median(more("cpu")).toFixed(2)} times its CPU time`,
  );
  return { wait: median(wait), cpu: median(more("cpu")) };
}

async function fill(events) {
  while (other.stored < events) await send(other, batch());
}

console.log(`${cpus()[0].model}, ${cpus().length} cores, Node ${process.version}`);
const [one, other] = [await bare(), await ours()];
await round(one);
await round(other);
await compare("empty");
await fill(10_000);
const few = await compare("10,000 events");
console.log("reading:", await reads(other.url));
await fill(EVENTS);
const many = await compare(`${EVENTS.toLocaleString("en")} events`);
console.log("reading:", await reads(other.url));
console.log(
  `Beside the same bare Worker, a batch takes ${(many.wait / few.wait).toFixed(2)} times as long ` +
    `and ${(many.cpu / few.cpu).toFixed(2)} times the CPU time with ${EVENTS.toLocaleString("en")} events as with 10,000.`,
);

other.end();
await one.end();
await rm(scratch, { recursive: true, force: true });
