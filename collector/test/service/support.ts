// How the tests speak to the service: as a client does, at a time of their choice, with lines like the program's.

import { applyD1Migrations, reset } from "cloudflare:test";
import { env as bindings } from "cloudflare:workers";
import { beforeEach, expect, vi } from "vitest";

import type { Environment } from "../../src/environment";
import worker from "../../src/worker";

export const NOW = Date.parse("2026-11-24T12:00:00.000Z");
export const DAY = 86_400_000;
export const TOKEN = "the-maintainers-token";

type Given = Environment & { MIGRATIONS: Parameters<typeof applyD1Migrations>[1] };

/** What the service is given; its limiter is out of the way, unless a test is about it. */
const given = bindings as unknown as Given;
export const env: Environment = {
  ...given,
  RATE_LIMITER: { limit: () => Promise.resolve({ success: true }) },
};
export const limited: Environment = { ...given };

/** Each test begins with an empty database at noon. */
export function freshForEachTest(): void {
  beforeEach(async () => {
    vi.useFakeTimers({ toFake: ["Date"], now: NOW });
    await reset();
    await applyD1Migrations(env.DB, given.MIGRATIONS);
  });
}

let made = 0;

export function uuid7(at: number): string {
  made += 1;
  const time = at.toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-${made.toString(16).padStart(12, "0")}`;
}

export function anonymousId(n: number): string {
  const hex = n.toString(16);
  return `${hex.padStart(8, "0")}-0000-4000-8000-${hex.padStart(12, "0")}`;
}

interface Shape {
  at?: number;
  id?: number;
  event?: string;
  version?: string;
  metadata?: Record<string, unknown>;
}

const METADATA: Record<string, Record<string, unknown>> = {
  "scan.started": {
    mode: "cli",
    profile: "balanced",
    tools: ["trivy", "semgrep"],
    target_types: { repos: 3, images: 1, urls: 0, iac: 0, gitlab: 0, k8s: 0 },
    ci_detected: false,
    multi_target_scan: true,
    compliance_usage: false,
    total_targets_bucket: "2-5",
    scan_frequency_hint: "weekly",
  },
  "scan.completed": {
    mode: "docker",
    profile: "fast",
    duration_bucket: "5-15min",
    tools_succeeded: 8,
    tools_failed: 0,
    total_findings_bucket: "10-100",
  },
  "tool.failed": { tool: "trivy", failure_type: "timeout", exit_code: null, profile: "fast" },
};

export function line(shape: Shape = {}): string {
  const { at = NOW - DAY, id = 1, event = "scan.completed", version = "1.0.2" } = shape;
  return JSON.stringify({
    event,
    version,
    platform: "Linux",
    python_version: "3.11",
    anonymous_id: anonymousId(id),
    timestamp: new Date(at).toISOString(),
    metadata: { ...METADATA[event], ...shape.metadata },
    event_id: uuid7(at),
  });
}

export function lines(count: number, shape: (n: number) => Shape = () => ({})): string[] {
  return Array.from({ length: count }, (_, n) => line(shape(n)));
}

export async function gzip(text: string | Uint8Array): Promise<Uint8Array> {
  const stream = new Blob([text]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

const HEADERS = {
  "Content-Type": "application/x-ndjson",
  "Content-Encoding": "gzip",
  "Idempotency-Key": "events-20261124-0123456789abcdef",
};

interface Sending {
  headers?: Record<string, string | undefined>;
  env?: Environment;
}

/** Sends bytes as they are. */
export async function post(body: BodyInit | null, sending: Sending = {}): Promise<Response> {
  const headers = new Headers();
  const all: Record<string, string | undefined> = { ...HEADERS, ...sending.headers };
  for (const [name, value] of Object.entries(all)) {
    if (value !== undefined) headers.set(name, value);
  }
  const request = new Request("http://collector/v1/events", { method: "POST", headers, body });
  return await fetchWorker(request, sending.env);
}

/** Sends lines as the program does. */
export async function send(all: string[], sending: Sending = {}): Promise<Response> {
  return post(await gzip(all.map((text) => text + "\n").join("")), sending);
}

export interface Answer {
  batch: string;
  sha256: string;
  accepted: number;
  duplicates: number;
  rejected: { line: number; event_id: string | null; reason: string }[];
}

export async function sent(all: string[], sending: Sending = {}): Promise<Answer> {
  const response = await send(all, sending);
  expect(response.status).toBe(200);
  return response.json<Answer>();
}

export async function get(
  path: string,
  headers: Record<string, string> = {},
  given = env,
): Promise<Response> {
  const all = { Authorization: `Bearer ${TOKEN}`, ...headers };
  return fetchWorker(new Request(`http://collector${path}`, { headers: all }), given);
}

export async function forget(
  body: string,
  headers: Record<string, string> = {},
): Promise<Response> {
  const all = { "Content-Type": "application/json", ...headers };
  return fetchWorker(
    new Request("http://collector/v1/forget", { method: "POST", headers: all, body }),
  );
}

export async function fetchWorker(request: Request, given = env): Promise<Response> {
  return worker.fetch(request as Request<unknown, IncomingRequestCfProperties>, given);
}

export async function runCron(given = env): Promise<void> {
  await worker.scheduled({} as ScheduledController, given);
}

export async function rows(sql: string): Promise<Record<string, unknown>[]> {
  return (await env.DB.prepare(sql).all()).results;
}

/** Everything that the database holds, as text. */
export async function everythingStored(): Promise<string> {
  const tables = await rows(
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\'",
  );
  const contents = await Promise.all(
    tables.map(({ name }) => rows(`SELECT * FROM "${String(name)}"`)),
  );
  return JSON.stringify(contents);
}

/** The sums of the counters must be those of the events, field by field. */
export async function sumsAgree(): Promise<void> {
  const counted = await rows(
    "SELECT day, event, version, dimension, word, n FROM counters ORDER BY 1, 2, 3, 4, 5",
  );
  const events = (await rows("SELECT line FROM events WHERE line IS NOT NULL")).map(
    (row) => JSON.parse(String(row.line)) as CountedEvent,
  );
  const expected = new Map<string, number>();
  for (const event of events) {
    for (const [dimension, word, n] of wordsOf(event)) {
      const key = [event.timestamp.slice(0, 10), event.event, event.version, dimension, word].join(
        "|",
      );
      expected.set(key, (expected.get(key) ?? 0) + n);
    }
  }
  const found = counted.map((row) => [
    [row.day, row.event, row.version, row.dimension, row.word].join("|"),
    row.n,
  ]);
  expect(found.sort()).toEqual([...expected].sort());
}

interface CountedEvent {
  event: string;
  version: string;
  platform: string;
  python_version: string | null;
  timestamp: string;
  metadata: Record<string, unknown>;
}

function wordsOf(event: CountedEvent): [string, string, number][] {
  const words: [string, string, number][] = [
    ["event", event.event, 1],
    ["platform", event.platform, 1],
  ];
  if (event.python_version !== null) words.push(["python_version", event.python_version, 1]);
  for (const [field, value] of Object.entries(event.metadata)) {
    if (typeof value === "string") words.push([field, value, 1]);
    if (Array.isArray(value)) for (const word of value) words.push([field, String(word), 1]);
    else if (typeof value === "object" && value !== null) {
      for (const [word, n] of Object.entries(value))
        if (n > 0) words.push([field, word, Number(n)]);
    }
  }
  return words;
}
