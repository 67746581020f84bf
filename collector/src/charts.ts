// Which counters make which list of the page and of the statistics. All of it is the program's own table
// (schema/dimensions.json, which it writes). The past of a new list is there at once, since every word of the metadata
// is counted.

import dimensions from "../schema/dimensions.json";

/** What the page is to draw, as the program has it. */
export const DIMENSIONS: { name: string }[] = dimensions;

/** The dimension of the counters that counts the events themselves. */
export const EVENTS = "event";

/** Stands for all words past a limit. */
export const OTHERS = "(others)";

/** Two lists are the axes of all others: counters have them in columns of their own. */
export const AXES = ["by_event", "by_version"];

/** By a list's name, the fields whose words it counts. */
export const FIELDS: Record<string, string[]> = Object.fromEntries(
  dimensions.filter(({ name }) => !AXES.includes(name)).map(({ name, fields }) => [name, fields]),
);

/** By a field's name, the list that counts its words. */
export const LIST_OF = new Map(
  Object.entries(FIELDS).flatMap(([list, fields]) => fields.map((field) => [field, list] as const)),
);

/** Lists of the page that the statistics do not have. */
export const PAGE_ALONE = dimensions.filter(({ in_json }) => !in_json).map(({ name }) => name);
