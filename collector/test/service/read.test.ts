import { expect, test, vi } from "vitest";

import dimensions from "../../schema/dimensions.json";
import { AXES, FIELDS } from "../../src/charts";
import type { Environment } from "../../src/environment";
import { EVENT_BITS } from "../../src/event_bits";
import schema from "../../schema/event.json?raw";
import {
  DAY,
  env,
  fetchWorker,
  freshForEachTest,
  get,
  line,
  lines,
  NOW,
  rows,
  sent,
  TOKEN,
} from "./support";

freshForEachTest();

const READS = ["/v1/stats", "/v1/cube", "/v1/events"];

test.each(READS)("%s is read with the token alone", async (path) => {
  const status = async (authorization: string | null, given = env) => {
    const headers: Record<string, string> =
      authorization === null ? {} : { Authorization: authorization };
    const response = await fetchWorker(new Request(`http://collector${path}`, { headers }), given);
    return [response.status, response.headers.get("WWW-Authenticate")];
  };
  expect(await status(`Bearer ${TOKEN}`)).toEqual([200, null]);
  expect(await status(`bearer ${TOKEN}`)).toEqual([200, null]);
  for (const wrong of [
    null,
    "",
    "Bearer",
    "Bearer ",
    `Basic ${TOKEN}`,
    TOKEN,
    `Bearer ${TOKEN}x`,
    `Bearer ${TOKEN.slice(1)}`,
  ]) {
    expect(await status(wrong)).toEqual([401, "Bearer"]);
  }
  // Where no token was set, nobody has it.
  for (const unset of [undefined, ""]) {
    const { STATS_TOKEN: _, ...rest } = env;
    const closed = unset === undefined ? rest : { ...rest, STATS_TOKEN: unset };
    for (const given of [null, "Bearer", "Bearer ", "Bearer undefined"]) {
      expect(await status(given, closed)).toEqual([401, "Bearer"]);
    }
  }
});

test("the statistics are those of view --json", async () => {
  await sent([
    line({ event: "scan.started", id: 1, at: NOW - 2 * DAY }),
    line({ event: "scan.completed", id: 1, at: NOW - DAY }),
    line({ event: "tool.failed", id: 2, at: NOW - DAY, version: "1.1.0" }),
  ]);
  expect(await (await get("/v1/stats")).json()).toEqual({
    events: 3,
    unique_ids: 2,
    first: "2026-11-22T00:00:00Z",
    last: "2026-11-23T00:00:00Z",
    duplicates: 0,
    malformed: 0,
    incomplete: false,
    by_event: { "scan.completed": 1, "scan.started": 1, "tool.failed": 1 },
    by_platform: { Linux: 3 },
    by_python: { "3.11": 3 },
    by_version: { "1.0.2": 2, "1.1.0": 1 },
    by_profile: { balanced: 1, fast: 2 },
    by_mode: { cli: 1, docker: 1 },
    tools: { semgrep: 1, trivy: 1 },
    tool_failures: { trivy: 1 },
    durations: { "5-15min": 1 },
    findings: { "10-100": 1 },
    target_types: { images: 1, repos: 3 },
    per_day: { "2026-11-22": 1, "2026-11-23": 2 },
  });
});

test("both ends of a period are inside it", async () => {
  await sent(lines(6, (n) => ({ at: NOW - n * DAY, id: n })));
  const events = async (query: string) => {
    const { events, unique_ids: ids } = await (
      await get(`/v1/stats?${query}`)
    ).json<{ events: number; unique_ids: number }>();
    return [events, ids];
  };
  expect(await events("since=2026-11-22")).toEqual([3, 3]);
  expect(await events("until=2026-11-22")).toEqual([4, 4]);
  expect(await events("since=2026-11-21&until=2026-11-22")).toEqual([2, 2]);
  expect(await events("since=2026-11-23&until=2026-11-22")).toEqual([0, 0]);
});

test.each([
  "/v1/stats?since=yesterday",
  "/v1/stats?until=2026-02-30",
  "/v1/stats?since=30d",
  "/v1/events?since=2026-1-1",
  "/v1/events?after=x",
  "/v1/events?limit=0",
  "/v1/events?limit=-1",
  "/v1/events?limit=ten",
])("%s is no query", async (path) => {
  const response = await get(path);
  expect([response.status, await response.json()]).toEqual([400, { error: "bad_query" }]);
});

test("pages of raw events have every line once, in order, as it was sent", async () => {
  const all = lines(25, (n) => ({ at: NOW - ((n * 7) % 25) * 3600_000 }));
  await sent(all);
  const read: string[] = [];
  let path: string | undefined = "/v1/events?limit=10";
  let pages = 0;
  while (path !== undefined) {
    const response = await get(path);
    expect(response.headers.get("Content-Type")).toBe("application/x-ndjson");
    read.push(...(await response.text()).split("\n").filter((text) => text !== ""));
    path = /^<(.+)>; rel="next"$/.exec(response.headers.get("Link") ?? "")?.[1];
    pages += 1;
  }
  expect(pages).toBe(3);
  const idOf = (text: string) => (JSON.parse(text) as { event_id: string }).event_id;
  expect(read).toEqual(all.toSorted((a, b) => (idOf(a) < idOf(b) ? -1 : 1)));
});

test("a page of raw events begins at a day and has at most 1,000 lines", async () => {
  for (let n = 0; n < 3; n += 1) await sent(lines(400, () => ({ at: NOW - n * DAY })));
  const count = async (query: string) => {
    const response = await get(`/v1/events?${query}`);
    return [(await response.text()).split("\n").length - 1, response.headers.has("Link")];
  };
  expect(await count("limit=5000")).toEqual([1000, true]);
  expect(await count("since=2026-11-23")).toEqual([800, false]);
  expect(await count("since=2026-11-23&until=2026-11-23")).toEqual([400, false]);
  expect(await count("since=2026-11-23&limit=800")).toEqual([800, false]);
});

/** A database that tells what each of its answers was. */
function heard(tell: (answer: D1Result) => void): Environment {
  const watched = (statement: D1PreparedStatement): unknown => ({
    bind: (...values: unknown[]) => watched(statement.bind(...values)),
    all: async () => {
      const answer = await statement.all();
      tell(answer);
      return answer;
    },
  });
  const db = { prepare: (sql: string) => watched(env.DB.prepare(sql)) };
  return { ...env, DB: db as unknown as D1Database };
}

test("a page in the middle reads its own rows alone", async () => {
  const all = lines(300, (n) => ({ at: NOW - n * 3600_000 }));
  await sent(all);
  const { event_id: middle } = JSON.parse(all[150]) as { event_id: string };
  for (const query of [`after=${middle}`, `since=2026-11-01&after=${middle}`, "since=2026-11-22"]) {
    let read = 0;
    const given = heard(({ meta }) => (read += meta.rows_read));
    const response = await get(`/v1/events?limit=10&${query}`, {}, given);
    expect((await response.text()).split("\n")).toHaveLength(11);
    expect(read).toBeLessThanOrEqual(20);
  }
});

test.each(["/v1/cube", "/v1/stats"])("%s reads each counter once", async (path) => {
  await sent(lines(60, (n) => ({ at: NOW - n * DAY, id: n, version: `1.${String(n)}` })));
  const [{ n: counters }] = (await rows("SELECT count(*) AS n FROM counters")) as { n: number }[];
  let read = 0;
  const given = heard(({ meta }) => (read += meta.rows_read));
  expect((await get(path, {}, given)).status).toBe(200);
  // Beside them the ids of 60 days, the entries of an index for the versions of 60 days, and a row or two.
  expect(read).toBeGreaterThanOrEqual(counters);
  expect(read).toBeLessThan(counters + 250);
});

test.each(["/v1/cube", "/v1/stats"])(
  "%s of many years asks for no more at once than a Worker has memory for, and counts all",
  async (path) => {
    // 24 years, each day with 50 words.
    await env.DB.exec(
      `WITH RECURSIVE days(day) AS (SELECT date('2003-01-01') UNION ALL SELECT date(day, '+1 day') FROM days LIMIT 8766), ` +
        `words(word) AS (SELECT 1 UNION ALL SELECT word + 1 FROM words LIMIT 50) ` +
        `INSERT INTO counters SELECT day, 'tool.failed', '1.0.0', CASE word WHEN 1 THEN 'event' ELSE 'tool' END, word, 2 FROM days, words`,
    );
    const bytes: number[] = [];
    const given = heard(({ results }) => bytes.push(JSON.stringify(results).length));
    const answer = await (await get(path, {}, given)).json<{ summary?: object }>();
    const summary = answer.summary ?? answer;
    expect(summary).toMatchObject({ events: 2 * 8766, tool_failures: { 50: 2 * 8766 } });
    expect(bytes.reduce((sum, size) => sum + size, 0)).toBeGreaterThan(8_000_000);
    expect(Math.max(...bytes)).toBeLessThan(8_000_000);
    expect(bytes.length).toBeLessThan(10);
  },
);

test("every event that there is has a bit of its own", () => {
  const { properties } = JSON.parse(schema) as { properties: { event: { enum: string[] } } };
  expect(Object.keys(EVENT_BITS).toSorted()).toEqual(properties.event.enum.toSorted());
  const bits = Object.values(EVENT_BITS);
  expect(bits.reduce((all, bit) => all | bit, 0)).toBe(2 ** bits.length - 1);
});

test("an answer that did not change is not sent again, and one that did is", async () => {
  await sent(lines(30));
  const tags = new Map<string, string>();
  const paths = [...READS, "/v1/stats?since=2026-11-20", "/v1/events?limit=10", "/", "/v1/schema"];
  for (const path of paths) {
    const tag = (await get(path)).headers.get("ETag") ?? "";
    expect(tag).toMatch(/^"[^"]+"$/);
    tags.set(path, tag);
    for (const known of [tag, `"x", W/${tag}`]) {
      const again = await get(path, { "If-None-Match": known });
      expect([again.status, await again.text()]).toEqual([304, ""]);
    }
  }
  await sent(lines(1, () => ({ at: NOW })));
  const status = async (path: string) =>
    (await get(path, { "If-None-Match": tags.get(path) ?? "" })).status;
  for (const path of READS) expect(await status(path)).toBe(200);
  // An old page of raw events stays as it is.
  expect(await status("/v1/events?limit=10")).toBe(304);
  // On a new day the page has another today.
  const today = (await get("/v1/cube")).headers.get("ETag") ?? "";
  vi.setSystemTime(NOW + DAY);
  expect((await get("/v1/cube", { "If-None-Match": today })).status).toBe(200);
});

test("the data of the page adds up to the statistics", async () => {
  const events = ["scan.started", "scan.completed", "tool.failed"];
  await sent(
    lines(60, (n) => ({
      event: events[n % 3],
      id: n % 5,
      at: NOW - (n % 4) * DAY,
      version: `1.${String(n % 2)}`,
    })),
  );
  const { summary, cube, made, notes } = await (await get("/v1/cube")).json<CubeAnswer>();
  expect(summary).toEqual(await (await get("/v1/stats")).json());
  expect([made, notes]).toEqual(["2026-11-24T12:00:00.000Z", []]);
  expect(cube.groups.reduce((sum, group) => sum + group[3], 0)).toBe(60);
  const tools = cube.groups.flatMap(([, , , , words]) =>
    words.flatMap((word, at) =>
      at % 2 === 0 && cube.words[word][1] === "trivy" && cube.words[word][0] === "tools"
        ? [words[at + 1]]
        : [],
    ),
  );
  expect(tools.reduce((sum, n) => sum + n, 0)).toBe(20);
  const ids = new Set<number>();
  for (const [, , pairs] of cube.visits ?? []) {
    let id = 0;
    pairs.forEach((number, at) => (at % 2 === 0 ? ids.add((id += number)) : undefined));
  }
  expect(ids.size).toBe(5);
});

interface CubeAnswer {
  made: string;
  notes: string[];
  summary: Record<string, unknown>;
  cube: {
    dimensions: unknown;
    groups: [number, number, number, number, number[]][];
    words: [string, string][];
    visits: [number, number, number[]][] | null;
    versions: string[];
  };
}

test("versions without end share a place on the page", async () => {
  await sent(lines(130, (n) => ({ version: `1.${String(n)}` })));
  const { cube } = await (await get("/v1/cube")).json<CubeAnswer>();
  expect([cube.versions.length, cube.versions.at(-1)]).toEqual([101, "(others)"]);
  expect(cube.groups.reduce((sum, group) => sum + group[3], 0)).toBe(130);
});

test("every list of the page is fed from counters, and is drawn as the program draws it", async () => {
  const names = dimensions.map(({ name }) => name);
  expect(names.toSorted()).toEqual([...Object.keys(FIELDS), ...AXES].toSorted());
  expect((await (await get("/v1/cube")).json<CubeAnswer>()).cube.dimensions).toEqual(dimensions);
});

test("an empty collector has a page, a cube and statistics", async () => {
  expect(await (await get("/v1/stats")).json()).toMatchObject({
    events: 0,
    unique_ids: 0,
    first: null,
    last: null,
  });
  expect(await (await get("/v1/cube")).json()).toMatchObject({
    cube: { days: [], groups: [], visits: [] },
  });
  expect(await (await get("/v1/events")).text()).toBe("");
});

test("anybody may see the page, what is accepted, and whether the service is well", async () => {
  const open = (path: string, method = "GET") =>
    fetchWorker(new Request(`http://collector${path}`, { method }));
  expect(await (await open("/v1/schema")).text()).toBe(schema);
  expect(await (await open("/healthz")).json()).toEqual({ status: "ok" });
  const page = await open("/");
  const policy = page.headers.get("Content-Security-Policy") ?? "";
  expect(policy).toMatch(/^default-src 'none';/);
  expect(policy).toContain("frame-ancestors 'none'");
  expect(policy).not.toMatch(/unsafe|http|\*/);
  expect(await page.text()).toContain('<script type="application/json" id="data">null</script>');
  const head = await open("/", "HEAD");
  expect([head.status, head.headers.get("ETag")]).toEqual([200, page.headers.get("ETag")]);
  expect(await rows("SELECT revision FROM totals")).toEqual([{ revision: 0 }]);
});
