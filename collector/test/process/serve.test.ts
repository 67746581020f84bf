// serve.mjs as scripts, tests and people use it: the real workerd, started and ended in every way.

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

import { afterEach, describe, expect, test } from "vitest";

const started: ChildProcess[] = [];
const directories: string[] = [];

afterEach(() => {
  for (const child of started.splice(0)) child.kill("SIGKILL");
  for (const directory of directories.splice(0))
    rmSync(directory, { recursive: true, force: true });
});

interface Service {
  child: ChildProcess;
  url: string;
  firstLine: string;
  ended: Promise<[number | null, NodeJS.Signals | null]>;
}

const serve = (...args: string[]) => serveIn(process.env, ...args);

async function serveIn(env: NodeJS.ProcessEnv, ...args: string[]): Promise<Service> {
  const child = spawn(process.execPath, ["serve.mjs", ...args], {
    env,
    stdio: ["ignore", "pipe", "inherit"],
  });
  started.push(child);
  const ended = new Promise<[number | null, NodeJS.Signals | null]>((resolve) => {
    child.on("exit", (code, signal) => {
      resolve([code, signal]);
    });
  });
  const firstLine = await new Promise<string>((resolve, reject) => {
    let text = "";
    child.stdout.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      if (text.includes("\n")) resolve(text.slice(0, text.indexOf("\n")));
    });
    child.on("exit", (code) => {
      reject(new Error(`serve.mjs ended with ${String(code)}: ${text}`));
    });
  });
  const { url } = JSON.parse(firstLine) as { url: string };
  return { child, url, firstLine, ended };
}

function directory(): string {
  const made = mkdtempSync(join(tmpdir(), "collector-test-"));
  directories.push(made);
  return made;
}

/** The lines of the fixtures, as if they were of now. */
function events(): Buffer {
  const at = Date.now();
  const time = at.toString(16).padStart(12, "0");
  const lines = readFileSync("fixtures/accept.ndjson", "utf8")
    .replace(/"timestamp":"[^"]+"/g, `"timestamp":"${new Date(at).toISOString()}"`)
    .replace(
      /"event_id":"[0-9a-f]{8}-[0-9a-f]{4}/g,
      `"event_id":"${time.slice(0, 8)}-${time.slice(8)}`,
    );
  return gzipSync(lines);
}

async function send(url: string, body: Buffer): Promise<unknown> {
  const response = await fetch(`${url}/v1/events`, {
    method: "POST",
    headers: {
      "Content-Type": "application/x-ndjson",
      "Content-Encoding": "gzip",
      "Idempotency-Key": "events-20261124-0123456789abcdef",
    },
    body: new Uint8Array(body),
  });
  return response.json();
}

async function until(what: string, is: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 20_000; Date.now() < end;) {
    if (await is()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`not so after 20 s: ${what}`);
}

const answers = async (url: string) =>
  fetch(`${url}/healthz`).then(
    () => true,
    () => false,
  );

test("the first line is the address, and everything works there", async () => {
  const { url, firstLine } = await serve("--stats-token", "T");
  expect(firstLine).toMatch(/^\{"url": "http:\/\/127\.0\.0\.1:[0-9]+"\}$/);
  expect(await send(url, events())).toMatchObject({ accepted: 24, duplicates: 0, rejected: [] });
  const stats = await fetch(`${url}/v1/stats`, { headers: { Authorization: "Bearer T" } });
  expect(await stats.json()).toMatchObject({ events: 24 });
  expect((await fetch(`${url}/cdn-cgi/handler/scheduled`)).status).toBe(200);
  expect((await fetch(`${url}/v1/stats`)).status).toBe(401);
});

test.each(["SIGTERM", "SIGINT"] as const)(
  "%s ends it with 0, and a restart has what was collected",
  async (signal) => {
    const persist = directory();
    const body = events();
    const first = await serve("--persist", persist);
    expect(await send(first.url, body)).toMatchObject({ accepted: 24 });
    first.child.kill(signal);
    expect(await first.ended).toEqual([0, null]);
    expect(await answers(first.url)).toBe(false);
    const second = await serve("--persist", persist);
    expect(await send(second.url, body)).toMatchObject({ accepted: 0, duplicates: 24 });
  },
);

/** Where the kernel does not end workerd with us: a PATH that has what a shell needs, and no setpriv. */
function withoutSetpriv(): NodeJS.ProcessEnv {
  const path = directory();
  symlinkSync("/bin/cat", join(path, "cat"));
  return { ...process.env, PATH: path };
}

/** The processes that a process has started, and those that they have. */
function descendants(of: number): number[] {
  const all = execFileSync("ps", ["-A", "-o", "pid=,ppid="], { encoding: "utf8" });
  const pairs = all
    .trim()
    .split("\n")
    .map((row) => row.trim().split(/ +/).map(Number));
  const below = (parent: number): number[] =>
    pairs.filter(([, ppid]) => ppid === parent).flatMap(([pid]) => [pid, ...below(pid)]);
  return below(of);
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

describe.each([
  ["the kernel", () => process.env],
  ["a watchdog", withoutSetpriv],
])("workerd ends with us by %s", (_, environment) => {
  test.each(["SIGKILL", "SIGTERM"] as const)(
    "%s leaves no process behind and nothing half done",
    async (signal) => {
      const persist = directory();
      const body = events();
      const first = await serveIn(environment(), "--persist", persist);
      const processes = descendants(first.child.pid ?? 0);
      expect(processes).not.toEqual([]);
      expect(await send(first.url, body)).toMatchObject({ accepted: 24 });
      first.child.kill(signal);
      await first.ended;
      await until("all of them have ended", () => !processes.some(isAlive));
      const second = await serveIn(environment(), "--persist", persist);
      expect(await send(second.url, body)).toMatchObject({ accepted: 0, duplicates: 24 });
    },
  );
});

test("npm start says what to do, and ends with npm", async () => {
  const child = spawn("sh", ["-c", `"$0" serve.mjs --people; true`, process.execPath], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  started.push(child);
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
  await until("it has told how it ends", () => said.includes("Ctrl-C"));
  const processes = descendants(child.pid ?? 0);
  const [, url, token] =
    /page +(\S+)\n +its token +([0-9a-f]{32})\n/.exec(said) ?? ([] as undefined[]);
  expect(said).toContain(`connect collector ${String(url?.slice(0, -1))}\n`);
  const headers = { Authorization: `Bearer ${String(token)}` };
  expect((await fetch(`${String(url)}v1/stats`, { headers })).status).toBe(200);
  child.kill();
  await until("all of them have ended", () => !processes.some(isAlive));
});

test.runIf(process.platform === "linux")(
  "bombs that come at once do not make it grow by 128 MiB",
  async () => {
    // Before anything is connected: this takes seconds, and a connection that idles is closed.
    const bomb = gzipSync(Buffer.alloc(240 * 1024 * 1024));
    const { child, url } = await serve();
    const peak = () =>
      Math.max(
        ...descendants(child.pid ?? 0).map((pid) => {
          const status = readFileSync(`/proc/${String(pid)}/status`, "utf8");
          return Number(/^VmHWM:\s+([0-9]+) kB$/m.exec(status)?.[1] ?? 0) / 1024;
        }),
      );
    await send(url, events());
    const before = peak();
    const answers = await Promise.all(Array.from({ length: 20 }, () => send(url, bomb)));
    expect(answers).toEqual(Array(20).fill({ error: "too_large" }));
    expect(peak() - before).toBeLessThan(128);
    expect(await send(url, events())).toMatchObject({ accepted: 24 });
  },
);

test("a setting from the command line is the service's", async () => {
  const { url } = await serve("--env", "MAX_EVENTS_A_DAY=10", "--env", "RETENTION_DAYS=7");
  expect(await send(url, events())).toMatchObject({ accepted: 24 });
  expect(await send(url, events())).toEqual({ error: "day_is_full" });
});

test("it listens where it is told to", async () => {
  const probe = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => probe.once("listening", resolve));
  const { port } = probe.address() as { port: number };
  await new Promise((resolve) => probe.close(resolve));
  expect((await serve("--port", String(port))).url).toBe(`http://127.0.0.1:${String(port)}`);
});

test.each([[["--nonsense"]], [["--env", "NOTHING"]]])(
  "%s is a mistake that is told",
  async (args) => {
    const child = spawn(process.execPath, ["serve.mjs", ...args], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    let said = "";
    child.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()));
    const code = await new Promise((resolve) => child.on("exit", resolve));
    expect(code).toBe(2);
    expect(said).not.toBe("");
  },
);

test("wrangler is the version that the test package depends on", () => {
  const read = (path: string) =>
    JSON.parse(readFileSync(path, "utf8")) as Record<
      "dependencies" | "devDependencies",
      Record<string, string>
    >;
  const pool = read("node_modules/@cloudflare/vitest-pool-workers/package.json").dependencies;
  const ours = read("package.json").devDependencies;
  expect([ours.wrangler, ours.miniflare, ours.esbuild]).toEqual([
    pool.wrangler,
    pool.miniflare,
    pool.esbuild,
  ]);
});
