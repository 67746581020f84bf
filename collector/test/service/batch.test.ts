import { describe, expect, test } from "vitest";

import reject from "../../fixtures/reject.ndjson?raw";
import reasons from "../../fixtures/reject.reasons?raw";
import { sha256 } from "../../src/answers";
import {
  anonymousId,
  everythingStored,
  fetchWorker,
  forget,
  freshForEachTest,
  gzip,
  line,
  lines,
  limited,
  post,
  rows,
  send,
  sent,
} from "./support";
import { env, NOW, TOKEN } from "./support";

freshForEachTest();

async function wordOf(response: Response): Promise<[number, string]> {
  const text = await response.text();
  return [response.status, (JSON.parse(text) as { error: string }).error];
}

/** What was refused must have changed nothing. */
async function refused(request: () => Promise<Response>): Promise<[number, string]> {
  const before = await everythingStored();
  const word = await wordOf(await request());
  expect(await everythingStored()).toBe(before);
  return word;
}

test("a batch is answered with its key, its hash and how its lines went", async () => {
  const batch = lines(3);
  const answer = await sent([batch[0], "", batch[1], "{}", batch[2], batch[0]]);
  expect(answer).toEqual({
    batch: "events-20261124-0123456789abcdef",
    sha256: await sha256(
      [batch[0], "", batch[1], "{}", batch[2], batch[0]].map((text) => text + "\n").join(""),
    ),
    accepted: 3,
    duplicates: 1,
    rejected: [
      { line: 2, event_id: null, reason: "not_json" },
      { line: 4, event_id: null, reason: "schema" },
    ],
  });
});

test("every line that is no event is named with its reason, and changes nothing", async () => {
  const before = await everythingStored();
  const { accepted, duplicates, rejected } = await sent(reject.replace(/\n$/, "").split("\n"));
  expect([accepted, duplicates]).toEqual([0, 0]);
  expect(rejected.map(({ line, reason }) => [line, reason])).toEqual(
    reasons
      .trimEnd()
      .split("\n")
      .map((why, at) => [at + 1, why.split(" ")[0]]),
  );
  expect(await everythingStored()).toBe(before);
});

test("the last line needs no end", async () => {
  const response = await post(await gzip(lines(2).join("\n")));
  expect(await response.json()).toMatchObject({ accepted: 2, rejected: [] });
});

describe("what is no batch gets a status and a word", () => {
  const good = () => gzip(line() + "\n");

  test.each([
    ["no type", { "Content-Type": undefined }, 415, "unsupported_type"],
    ["another type", { "Content-Type": "application/json" }, 415, "unsupported_type"],
    ["no encoding", { "Content-Encoding": undefined }, 415, "unsupported_encoding"],
    ["another encoding", { "Content-Encoding": "br" }, 415, "unsupported_encoding"],
    ["two encodings", { "Content-Encoding": "gzip, gzip" }, 415, "unsupported_encoding"],
    ["no key", { "Idempotency-Key": undefined }, 400, "bad_key"],
    ["an empty key", { "Idempotency-Key": "" }, 400, "bad_key"],
    ["a key with a blank", { "Idempotency-Key": "a b" }, 400, "bad_key"],
    ["a key without end", { "Idempotency-Key": "a".repeat(129) }, 400, "bad_key"],
  ])("%s", async (_, headers, status, word) => {
    const packed = await good();
    expect(await refused(() => post(packed, { headers }))).toEqual([status, word]);
  });

  test("a type with a parameter, and an encoding in capitals, are what they are", async () => {
    const headers = {
      "Content-Type": "Application/X-NDJSON; charset=utf-8",
      "Content-Encoding": "GZIP",
    };
    expect((await post(await good(), { headers })).status).toBe(200);
  });

  test.each([
    ["text that is not packed", () => Promise.resolve(line()), 400, "bad_gzip"],
    ["a torn body", async () => (await good()).slice(0, -9), 400, "bad_gzip"],
    [
      "a body with a wrong sum",
      async () => (await good()).map((byte, at, all) => (at === all.length - 6 ? byte ^ 1 : byte)),
      400,
      "bad_gzip",
    ],
    [
      "a body of another packing",
      () => Promise.resolve(new Uint8Array([0x78, 0x9c, 3, 0, 0, 0, 0, 1])),
      400,
      "bad_gzip",
    ],
    ["bytes that are no UTF-8", () => gzip(new Uint8Array([0x22, 0xff, 0x22])), 400, "bad_utf8"],
    ["half a surrogate", () => gzip(new Uint8Array([0xed, 0xa0, 0x80])), 400, "bad_utf8"],
    ["nothing at all", () => Promise.resolve(new Uint8Array()), 400, "empty"],
    ["nothing, packed", () => gzip(""), 400, "empty"],
    ["501 lines", () => gzip("\n".repeat(501)), 413, "too_many_lines"],
    ["a body of more than 1 MiB", () => gzip("x".repeat(1024 * 1024 + 1)), 413, "too_large"],
    [
      "more than 256 KiB on the wire",
      () => Promise.resolve(new Uint8Array(256 * 1024 + 1)),
      413,
      "too_large",
    ],
  ])("%s", async (_, body, status, word) => {
    const packed = await body();
    expect(await refused(() => post(packed))).toEqual([status, word]);
  });

  test("no body", async () => {
    expect(await refused(() => post(null))).toEqual([400, "empty"]);
  });

  test("exactly 500 lines, and exactly 1 MiB, are taken", async () => {
    expect(await sent(lines(500))).toMatchObject({ accepted: 500 });
    expect((await post(await gzip("x".repeat(1024 * 1024)))).status).toBe(200);
  });

  test("a bomb of 200 MiB is stopped while it is unpacked", async () => {
    const pack = new CompressionStream("gzip");
    const writer = pack.writable.getWriter();
    const zeros = new Uint8Array(1024 * 1024);
    const written = (async () => {
      for (let n = 0; n < 200; n += 1) await writer.write(zeros);
      await writer.close();
    })();
    const bomb = new Uint8Array(await new Response(pack.readable).arrayBuffer());
    await written;
    expect(bomb.length).toBeLessThan(256 * 1024);
    expect(await refused(() => post(bomb))).toEqual([413, "too_large"]);
  });

  test("a body that comes in pieces and never ends is cut off", async () => {
    const endless = new ReadableStream({
      pull: (controller) => {
        controller.enqueue(new Uint8Array(64 * 1024));
      },
    });
    expect(await refused(() => post(endless))).toEqual([413, "too_large"]);
  });
});

test.each([
  ["GET", "/nothing", 404, "not_found", null],
  ["POST", "/v1/event", 404, "not_found", null],
  ["GET", "/v1/events/", 404, "not_found", null],
  ["GET", "/__proto__", 404, "not_found", null],
  ["GET", "/constructor", 404, "not_found", null],
  ["PUT", "/v1/events", 405, "method_not_allowed", "GET, HEAD, POST"],
  ["GET", "/v1/forget", 405, "method_not_allowed", "POST"],
  ["POST", "/", 405, "method_not_allowed", "GET, HEAD"],
  ["OPTIONS", "/v1/stats", 405, "method_not_allowed", "GET, HEAD"],
])("%s %s is answered with %i", async (method, path, status, word, allow) => {
  const response = await fetchWorker(new Request(`http://collector${path}`, { method }));
  expect(response.headers.get("Allow")).toBe(allow);
  expect(await wordOf(response)).toEqual([status, word]);
});

test("a service that has a path of its own answers below it alone", async () => {
  const below = { ...env, BASE_PATH: "/telemetry" };
  const at = async (path: string) =>
    (await fetchWorker(new Request(`http://host${path}`), below)).status;
  expect([await at("/telemetry/healthz"), await at("/telemetry/"), await at("/healthz")]).toEqual([
    200, 200, 404,
  ]);
});

test("a service that was closed says so, and still forgets", async () => {
  const closed = { ...env, CLOSED: "1" };
  expect(await wordOf(await send(lines(1), { env: closed }))).toEqual([410, "closed"]);
  expect((await forget('{"anonymous_id":"00000001-0000-4000-8000-000000000001"}')).status).toBe(
    200,
  );
});

test("trouble with the database is a wait, never a success", async () => {
  const broken = {
    ...env,
    DB: {
      prepare: () => {
        throw new Error("D1_ERROR: the disk is full");
      },
    } as unknown as D1Database,
  };
  const to = (method: string, path: string, content?: string) =>
    fetchWorker(
      new Request(`http://collector${path}`, {
        method,
        headers: { Authorization: `Bearer ${TOKEN}`, "Content-Type": "application/json" },
        body: content ?? null,
      }),
      broken,
    );
  for (const response of [
    await send(lines(1), { env: broken }),
    await to("POST", "/v1/forget", `{"anonymous_id":"${anonymousId(1)}"}`),
    await to("GET", "/healthz"),
    await to("GET", "/v1/stats"),
    await to("GET", "/v1/cube"),
    await to("GET", "/v1/events"),
  ]) {
    expect(response.headers.get("Retry-After")).toBe("30");
    expect(await wordOf(response)).toEqual([503, "unavailable"]);
  }
  const misconfigured = { ...env, RETENTION_DAYS: "ninety" };
  expect(await wordOf(await send(lines(1), { env: misconfigured }))).toEqual([503, "unavailable"]);
});

test("the 61st request of an address in a minute waits, and another address does not", async () => {
  const from = (ip?: string) => ({ env: limited, headers: { "CF-Connecting-IP": ip } });
  // The limiter counts in whole minutes of its own clock: 61 in one minute are among any 121.
  const statuses: number[] = [];
  let refused: Response | undefined;
  for (let n = 0; n < 121 && refused === undefined; n += 1) {
    const response = await post(null, from("192.0.2.1"));
    statuses.push(response.status);
    if (response.status === 429) refused = response;
  }
  expect(statuses.filter((status) => status === 400).length).toBeGreaterThanOrEqual(60);
  expect(refused?.headers.get("Retry-After")).toBe("60");
  expect((await post(null, from("192.0.2.2"))).status).toBe(400);
  expect((await post(null, from())).status).toBe(400);
});

test("a day that is full is full until midnight, and then it is not", async () => {
  const small = { ...env, MAX_EVENTS_A_DAY: "5" };
  expect(await sent(lines(5), { env: small })).toMatchObject({ accepted: 5 });
  const refused = await send(lines(1), { env: small });
  expect(refused.headers.get("Retry-After")).toBe(String(12 * 3600));
  expect(await wordOf(refused)).toEqual([503, "day_is_full"]);
  expect(await rows("SELECT count(*) AS n FROM events")).toEqual([{ n: 5 }]);
  const { vi } = await import("vitest");
  vi.setSystemTime(NOW + 12 * 3600 * 1000);
  expect(await sent(lines(1), { env: small })).toMatchObject({ accepted: 1 });
});
