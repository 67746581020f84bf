import { describe, expect, test } from "vitest";

import accept from "../../fixtures/accept.ndjson?raw";
import reject from "../../fixtures/reject.ndjson?raw";
import reasons from "../../fixtures/reject.reasons?raw";
import { boundOf, judge } from "../../src/judge";
import { DAY, line, NOW } from "./support";

const split = (text: string) => text.replace(/\n$/, "").split("\n");

describe("the lines that both judges agree on", () => {
  test.each(split(accept).map((text, at) => ({ at: at + 1, text })))(
    "line $at is accepted",
    ({ text }) => {
      expect(judge(text, NOW, 90).reason).toBeNull();
    },
  );

  const expected = split(reasons);
  test("each rejected line has its reason beside it", () => {
    expect(expected).toHaveLength(split(reject).length);
  });
  test.each(split(reject).map((text, at) => ({ why: expected[at], text })))(
    "rejected, $why",
    ({ why, text }) => {
      expect(judge(text, NOW, 90).reason).toBe(why.split(" ")[0]);
    },
  );
});

test("the window of time has both its ends inside", () => {
  const reasonAt = (at: number) => judge(line({ at }), NOW, 90).reason;
  expect(reasonAt(NOW - 90 * DAY)).toBeNull();
  expect(reasonAt(NOW - 90 * DAY - 1)).toBe("too_old");
  expect(reasonAt(NOW + DAY)).toBeNull();
  expect(reasonAt(NOW + DAY + 1)).toBe("too_new");
});

test("a rejected line is named by its event_id where that is one, and by nothing else of it", () => {
  const good = line();
  const { event_id: id } = JSON.parse(good) as { event_id: string };
  expect(judge(good.replace("5-15min", "soon"), NOW, 90)).toEqual({
    event_id: id,
    reason: "schema",
  });
  expect(judge(good.replace(id, "alice@example.org"), NOW, 90)).toEqual({
    event_id: null,
    reason: "schema",
  });
});

test("a line of 4 KiB is looked at and one byte more is not, whatever its characters take", () => {
  const padded = (bytes: number, filler: string) =>
    `"${filler.repeat((bytes - 2) / new TextEncoder().encode(filler).length)}"`;
  for (const filler of ["a", "é", "😀"]) {
    const exact = padded(4096 - ((4096 - 2) % new TextEncoder().encode(filler).length), filler);
    expect(judge(exact, NOW, 90).reason).toBe("schema");
    expect(judge(exact + "    ", NOW, 90).reason).toBe("too_large");
  }
});

test("nesting without end is an answer, not a crash", () => {
  expect(judge("[".repeat(2000) + "]".repeat(2000), NOW, 90).reason).toBe("schema");
  expect(judge('{"a":'.repeat(600) + "1" + "}".repeat(600), NOW, 90).reason).toBe("schema");
});

test("the bound of a time is between the ids of that time and all earlier ones", () => {
  const idAt = (at: number) => (JSON.parse(line({ at })) as { event_id: string }).event_id;
  const first = idAt(NOW).replace(/7000-8000-.*/, "7000-8000-000000000000");
  expect(idAt(NOW - 1) < boundOf(NOW) && boundOf(NOW) < first).toBe(true);
  expect(boundOf(-5)).toBe("00000000-0000");
});
