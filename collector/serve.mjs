// The service whole on one machine: the real workerd with a real D1 file, for trying it out and for tests.
//
//   node serve.mjs [--port N] [--persist DIR] [--stats-token T] [--env NAME=VALUE …]
//
// The first line of its output is {"url": …}. It ends at SIGTERM and leaves no process behind, whatever ends it.

import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

const parent = process.ppid;
const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"];
for (const signal of SIGNALS) process.on(signal, () => process.exit(0));

const { values: options } = readArguments();
const port = portOf(options.port);
if (options.persist !== undefined) prepare(options.persist);
const bindings = { RETENTION_DAYS: "90", MAX_EVENTS_A_DAY: "1000000", ...environment(options.env) };
if (options["stats-token"] !== undefined) bindings.STATS_TOKEN = options["stats-token"];
// Only here: Cloudflare's limiter takes its numbers from wrangler.jsonc.
const { REQUESTS_A_MINUTE = "60", ...vars } = bindings;
if (options.people && vars.STATS_TOKEN === undefined)
  vars.STATS_TOKEN = randomBytes(16).toString("hex");

// Nothing calls home, nor looks anything up.
Object.assign(process.env, {
  CLOUDFLARE_CF_FETCH_ENABLED: "false",
  WRANGLER_SEND_METRICS: "false",
});

const scratch = mkdtempSync(join(tmpdir(), "jmo-collector-"));
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));
bindToOurLife();

const { build: bundle, stop } = await import("esbuild");
const { build: generate } = await import("./build.mjs");
const { Log, LogLevel, Miniflare } = await import("miniflare");

generate();
const script = join(scratch, "worker.js");
await bundle({
  entryPoints: [here("src/worker.ts")],
  outfile: script,
  bundle: true,
  format: "esm",
  target: "es2024",
  external: ["node:*"],
  logLevel: "error",
});
await stop();

const service = new Miniflare({
  host: "127.0.0.1",
  port,
  cf: false,
  log: new Log(LogLevel.ERROR),
  unsafeTriggerHandlers: true,
  telemetry: { enabled: false },
  name: "collector",
  modules: [{ type: "ESModule", path: script }],
  modulesRoot: scratch,
  compatibilityDate: "2026-04-01",
  compatibilityFlags: ["nodejs_compat"],
  bindings: vars,
  d1Databases: { DB: "jmo-telemetry" },
  d1Persist: options.persist ?? join(scratch, "d1"),
  ratelimits: { RATE_LIMITER: { simple: { limit: Number(REQUESTS_A_MINUTE), period: 60 } } },
});

let isEnding = false;
// Miniflare has handlers of its own, which end the process at once and with another status.
for (const signal of SIGNALS) process.removeAllListeners(signal).on(signal, end);

try {
  await service.ready;
} catch (error) {
  refuse(`failed to start on port ${port} (is it in use?): ${error.message}`, 1);
}
await migrate(await service.getD1Database("DB"));
const url = `http://127.0.0.1:${new URL(await service.ready).port}`;
console.log(JSON.stringify({ url }).replace(":", ": "));
if (options.people) greet();
// npm passes a signal on to the shell between us, which keeps it to itself.
if (options.people) setInterval(() => process.ppid === parent || end(), 500);

async function end() {
  if (isEnding) return;
  isEnding = true;
  // workerd ends with this process in any case, so nothing is gained by waiting longer.
  setTimeout(() => process.exit(0), 5000).unref();
  await service.dispose();
  process.exit(0);
}

function refuse(why, status) {
  console.error(`serve.mjs: ${why}`);
  process.exit(status);
}

function portOf(text) {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65535)
    refuse(`--port takes a number from 0 to 65535, not ${text}`, 2);
  return port;
}

/** Like mkdir -p. Node's own recursive mkdir never returns where a directory can't be made at all, as in /proc. */
function makeDirectory(path) {
  if (existsSync(path)) return;
  makeDirectory(dirname(path));
  mkdirSync(path);
}

/** workerd does not say when it can't write its data: it waits for ever. */
function prepare(directory) {
  try {
    makeDirectory(resolve(directory));
    accessSync(directory, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    refuse(`failed to use --persist ${directory}: ${error.message}`, 1);
  }
}

function readArguments() {
  try {
    return parseArgs({
      options: {
        port: { type: "string", default: "0" },
        persist: { type: "string" },
        "stats-token": { type: "string" },
        env: { type: "string", multiple: true, default: [] },
        people: { type: "boolean", default: false },
      },
    });
  } catch (error) {
    console.error(error.message);
    console.error(
      "usage: node serve.mjs [--port N] [--persist DIR] [--stats-token T] [--env NAME=VALUE …]",
    );
    process.exit(2);
  }
}

function environment(pairs) {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf("=");
      if (at < 1) {
        console.error(`--env takes NAME=VALUE`);
        process.exit(2);
      }
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}

/**
 * workerd must not outlive this process, however it ends. On Linux the kernel sees to it. Elsewhere a watchdog waits for
 * the end of a pipe that Miniflare gives workerd: nothing comes out of it as long as this process is there.
 */
function bindToOurLife() {
  if (process.platform === "win32") return;
  const workerd = quoted(createRequire(import.meta.url)("workerd").default);
  const wrapper = join(scratch, "workerd.sh");
  const byKernel = spawnSync("setpriv", ["--pdeathsig", "KILL", "true"]).status === 0;
  const run = byKernel
    ? `exec setpriv --pdeathsig KILL \
  /bin/sh -c 'test "$PPID" = ${process.pid} && exec "$0" "$@"' ${workerd} "$@"`
    : `(cat <&3; kill -KILL $$) </dev/null >/dev/null 2>&1 &
exec ${workerd} "$@"`;
  writeFileSync(wrapper, `#!/bin/sh\n${run}\n`);
  chmodSync(wrapper, 0o700);
  process.env.MINIFLARE_WORKERD_PATH = wrapper;
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** What `wrangler d1 migrations apply` does, with the same table. */
async function migrate(db) {
  await db.exec(
    "CREATE TABLE IF NOT EXISTS d1_migrations (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL)",
  );
  const { results } = await db.prepare("SELECT name FROM d1_migrations").all();
  const applied = new Set(results.map(({ name }) => name));
  for (const name of readdirSync(here("migrations")).sort()) {
    if (applied.has(name)) continue;
    const text = readFileSync(here(`migrations/${name}`), "utf8").replace(/^ *--.*$/gm, "");
    const statements = text
      .split(";")
      .map((sql) => sql.trim())
      .filter((sql) => sql !== "");
    await db.batch([
      ...statements.map((sql) => db.prepare(sql)),
      db.prepare("INSERT INTO d1_migrations (name) VALUES (?1)").bind(name),
    ]);
  }
}

function greet() {
  console.log(`
The collector runs on this machine alone.

  page          ${url}/
  its token     ${vars.STATS_TOKEN}
  send to it    jmo-telemetry connect collector ${url}

What the scanner records from then on is on the page after the next
\`jmo-telemetry flush\`. Ctrl-C ends it.`);
}
