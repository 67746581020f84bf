import { expect, test, vi } from "vitest";

import worker from "../../src/worker";
import type { Environment } from "../../src/environment";
import {
  anonymousId,
  DAY,
  env,
  everythingStored,
  forget,
  freshForEachTest,
  get,
  line,
  lines,
  NOW,
  post,
  gzip,
  rows,
  runCron,
  send,
  sent,
  sumsAgree,
} from "./support";

freshForEachTest();

const EVENTS = ["scan.started", "scan.completed", "tool.failed"];

const mixed = (count: number) =>
  lines(count, (n) => ({
    event: EVENTS[n % 3],
    id: n % 7,
    version: `1.${String(n % 2)}.0`,
    at: NOW - (n % 4) * DAY,
  }));

const uniqueIds = async () => (await rows("SELECT unique_ids AS n FROM totals"))[0].n;

test("sums agree with rows after batches that overlap, come at once, and come again", async () => {
  const all = mixed(240);
  const batches = Array.from({ length: 12 }, (_, n) => all.slice(n * 15, n * 15 + 75));
  const answers = await Promise.all([...batches, ...batches].map((batch) => sent(batch)));
  expect(answers.reduce((sum, { accepted }) => sum + accepted, 0)).toBe(240);
  expect(
    answers.every(
      ({ accepted, duplicates, rejected }) => accepted + duplicates === 75 && rejected.length === 0,
    ),
  ).toBe(true);
  await sumsAgree();
  expect(await uniqueIds()).toBe(7);
  expect(await rows("SELECT n FROM received")).toEqual([{ n: 240 }]);
});

test("a repeat changes nothing but the answer", async () => {
  const batch = mixed(30);
  await sent(batch);
  const before = await everythingStored();
  expect(await sent(batch)).toMatchObject({ accepted: 0, duplicates: 30 });
  expect(await everythingStored()).toBe(before);
});

test("an event that comes twice in one batch, once with other words, is one event", async () => {
  const one = line();
  expect(await sent([one, one.replace("5-15min", "<5min")])).toMatchObject({
    accepted: 1,
    duplicates: 1,
  });
  await sumsAgree();
});

test("a batch of nothing that is accepted is answered and counts nothing", async () => {
  expect(await sent(["nonsense", "{}"])).toMatchObject({ accepted: 0, duplicates: 0 });
  await sumsAgree();
});

test.each(["received", "counters", "visits", "ids", "totals"])(
  "a statement that fails leaves nothing of its batch behind: no table %s",
  async (table) => {
    await env.DB.exec(`ALTER TABLE ${table} RENAME TO gone`);
    const before = await everythingStored();
    const response = await send(mixed(10));
    expect([response.status, response.headers.get("Retry-After")]).toEqual([503, "30"]);
    expect(await everythingStored()).toBe(before);
  },
);

/** A database whose batches go as `batch` says, once; after that they go as always. */
function onceOtherwise(batch: (go: () => Promise<unknown>) => Promise<never>): Environment {
  let isFirst = true;
  const db = {
    prepare: (sql: string) => env.DB.prepare(sql),
    batch: (statements: D1PreparedStatement[]) => {
      const go = () => env.DB.batch(statements);
      if (!isFirst) return go();
      isFirst = false;
      return batch(go);
    },
  };
  return { ...env, DB: db as unknown as D1Database };
}

test("a batch whose success was not heard of is counted once and called a repeat", async () => {
  const given = onceOtherwise(async (go) => {
    await go();
    throw new Error("D1_ERROR: network connection lost");
  });
  expect(await sent(mixed(30), { env: given })).toMatchObject({ accepted: 0, duplicates: 30 });
  await sumsAgree();
});

test("a failure that nothing explains is a wait, and nothing is kept", async () => {
  const given = onceOtherwise(() => Promise.reject(new Error("D1_ERROR: storage reset")));
  expect((await send(mixed(30), { env: given })).status).toBe(503);
  expect(await rows("SELECT * FROM events")).toEqual([]);
  await sumsAgree();
});

test("an event that another request brings meanwhile is counted once", async () => {
  const [both, ours, theirs] = [mixed(5), mixed(5), mixed(5)];
  await sent(both);
  // Between the look at what is known and the second try, `theirs` arrive.
  let batches = 0;
  const db = {
    prepare: (sql: string) => env.DB.prepare(sql),
    batch: async (statements: D1PreparedStatement[]) => {
      batches += 1;
      if (batches === 3) await sent(theirs);
      return env.DB.batch(statements);
    },
  };
  const given = { ...env, DB: db as unknown as D1Database };
  expect(await sent([...both, ...ours, ...theirs], { env: given })).toMatchObject({
    accepted: 5,
    duplicates: 10,
  });
  expect(batches).toBe(5);
  await sumsAgree();
});

/** A database that remembers what it is asked. */
function watched(): { given: Environment; queries: string[]; longest: () => number } {
  const queries: string[] = [];
  let longest = 0;
  const db = env.DB;
  const watch = (statement: D1PreparedStatement, sql: string): D1PreparedStatement =>
    new Proxy(statement, {
      get(target, name: keyof D1PreparedStatement) {
        if (name === "bind") {
          return (...values: unknown[]) => {
            for (const value of values)
              longest = Math.max(longest, new TextEncoder().encode(String(value)).length);
            expect(values.length).toBeLessThanOrEqual(100);
            return watch(target.bind(...values), sql);
          };
        }
        if (["run", "all", "first", "raw"].includes(name)) {
          return (...values: []) => {
            queries.push(sql);
            return (target[name] as (...values: []) => unknown)(...values);
          };
        }
        const value: unknown = Reflect.get(target, name);
        return typeof value === "function" ? (value.bind(target) as unknown) : value;
      },
    });
  const given = {
    ...env,
    DB: {
      prepare: (sql: string) => {
        expect(sql.length).toBeLessThan(100_000);
        return Object.assign(watch(db.prepare(sql), sql), { sql });
      },
      batch: (statements: (D1PreparedStatement & { sql?: string })[]) => {
        queries.push(...statements.map(({ sql }) => sql ?? ""));
        return db.batch(statements);
      },
    } as unknown as D1Database,
  };
  return { given, queries, longest: () => longest };
}

test("the largest batches stay within what D1 allows a request", async () => {
  const { given, queries, longest } = watched();
  // 500 lines of nearly 1 MiB in all: every tool, and each line counted for itself.
  const { default: accept } = await import("../../fixtures/accept.ndjson?raw");
  const tools = (JSON.parse(accept.split("\n")[6]) as { metadata: { tools: string[] } }).metadata
    .tools;
  const batch = lines(500, (n) => ({
    event: "scan.started",
    version: `1.${String(n)}.0-alpha.12345`,
    id: n,
    metadata: { tools },
  }));
  const response = await post(await gzip(batch.join("\n")), { env: given });
  expect(await response.json()).toMatchObject({ accepted: 500 });
  expect(queries.length).toBeLessThanOrEqual(50);
  expect(longest()).toBeLessThan(2_000_000);
  expect(longest()).toBeGreaterThan(300_000);
});

test("retention deletes raw events that are too old, and no number changes", async () => {
  const old = lines(10, (n) => ({ at: NOW - 60 * DAY, id: n }));
  const young = lines(5, (n) => ({ at: NOW - DAY, id: 100 + n }));
  await sent([...old, ...young]);
  const before: unknown = await (await get("/v1/stats")).json();
  await runCron({ ...env, RETENTION_DAYS: "30" });
  expect(await rows("SELECT count(*) AS n FROM events")).toEqual([{ n: 5 }]);
  expect(await (await get("/v1/stats")).json()).toEqual(before);
  // Who sent what on a day is known as long as the events are, and the numbers say from when.
  expect(await rows("SELECT count(*) AS n FROM visits")).toEqual([{ n: 5 }]);
  const part = await get("/v1/stats?since=2026-01-01");
  expect(await part.json()).toMatchObject({ events: 15, unique_ids: 5, incomplete: true });
  expect(await (await get("/v1/cube")).json()).toMatchObject({
    cube: { visits_from: "2026-10-25" },
  });
  // What is gone is too old to come again.
  const again = await sent(old, { env: { ...env, RETENTION_DAYS: "30" } });
  expect(again.rejected.map(({ reason }) => reason)).toEqual(Array(10).fill("too_old"));
});

test("made-up versions do not make counters grow without limit, and the real one stays", async () => {
  const at = NOW - DAY;
  await sent([line({ version: "1.0.2", at })]);
  // The first of these batches still finds room, for all that it brings.
  for (let n = 0; n < 5; n += 1) {
    await sent(lines(100, (m) => ({ version: `7.${String(n)}.${String(m)}`, at })));
  }
  await sent([line({ version: "1.0.2", at })]);
  const [{ n }] = await rows("SELECT count(DISTINCT version) AS n FROM counters");
  expect(n).toBe(102);
  const { by_version: versions, events } = await (
    await get("/v1/stats")
  ).json<{ by_version: Record<string, number>; events: number }>();
  expect([versions["1.0.2"], versions["(others)"], events]).toEqual([2, 400, 502]);
  const { cube } = await (
    await get("/v1/cube")
  ).json<{ cube: { versions: string[]; groups: number[][] } }>();
  expect(cube.versions.filter((version) => version === "(others)")).toHaveLength(1);
  expect(cube.groups.reduce((sum, group) => sum + group[3], 0)).toBe(502);
});

test("the cron deletes what is exactly too old, and stays within the queries of an invocation", async () => {
  await sent([line({ at: NOW - 30 * DAY }), line({ at: NOW - 30 * DAY - 1 })]);
  const { given, queries } = watched();
  await runCron({ ...given, RETENTION_DAYS: "30" });
  expect(await rows("SELECT count(*) AS n FROM events")).toEqual([{ n: 1 }]);
  expect(queries.length).toBeLessThanOrEqual(50);
});

test("who asks to be forgotten leaves numbers without an id, and cannot be counted again", async () => {
  const own = lines(4, () => ({ id: 8 }));
  const others = lines(3, () => ({ id: 9 }));
  await sent([...own, ...others]);
  const answer = await forget(JSON.stringify({ anonymous_id: anonymousId(8) }));
  expect([answer.status, await answer.json()]).toEqual([200, { forgotten: 4 }]);
  const stored = await everythingStored();
  expect(stored).not.toContain(anonymousId(8));
  expect(await rows("SELECT hex(id) AS id FROM ids")).toHaveLength(1);
  expect(await rows("SELECT DISTINCT hex(id) AS id FROM visits")).toHaveLength(1);
  expect(await (await get("/v1/stats")).json()).toMatchObject({ events: 7, unique_ids: 1 });
  expect(await sent(own)).toMatchObject({ accepted: 0, duplicates: 4 });
  expect(await (await get("/v1/stats")).json()).toMatchObject({ events: 7, unique_ids: 1 });
  expect((await (await get("/v1/events")).text()).split("\n")).toHaveLength(4);
  expect(await (await forget(JSON.stringify({ anonymous_id: anonymousId(8) }))).json()).toEqual({
    forgotten: 0,
  });
});

test.each([
  ["no JSON", "{", 400, "bad_id"],
  ["another object", "{}", 400, "bad_id"],
  ["null", "null", 400, "bad_id"],
  ["no id", '{"anonymous_id":"alice"}', 400, "bad_id"],
  ["all of them", '{"anonymous_id":"%"}', 400, "bad_id"],
  ["a list", `{"anonymous_id":["${anonymousId(1)}"]}`, 400, "bad_id"],
  ["a field more", `{"anonymous_id":"${anonymousId(1)}","all":true}`, 400, "bad_id"],
  ["a long body", " ".repeat(257), 413, "too_large"],
])("to forget %s is answered with %i", async (_, body, status, word) => {
  await sent(lines(2));
  const answer = await forget(body);
  expect([answer.status, await answer.json()]).toEqual([status, { error: word }]);
  expect(await rows("SELECT count(*) AS n FROM events WHERE line IS NOT NULL")).toEqual([{ n: 2 }]);
});

test("nothing of a request but its lines is stored, and nothing is logged", async () => {
  const canary = "canary-203.0.113.77";
  const logs = (["log", "info", "warn", "error", "debug"] as const).map((name) =>
    vi.spyOn(console, name),
  );
  const headers = {
    "CF-Connecting-IP": canary,
    "User-Agent": canary,
    "X-Forwarded-For": canary,
    "CF-IPCountry": canary,
    Cookie: canary,
    "Idempotency-Key": canary,
  };
  await sent(
    [line(), line().replace("}", `,"ip":"${canary}"}`), canary, `{"event_id":"${canary}"}`],
    { headers },
  );
  await forget(`{"anonymous_id":"${canary}"}`, headers);
  await get(`/v1/stats?since=${canary}`, headers);
  await get(`/${canary}`, headers);
  expect(await everythingStored()).not.toContain("canary");
  for (const log of logs) expect(log).not.toHaveBeenCalled();
  expect(typeof worker.scheduled).toBe("function");
});
