// Which counters make which list of the page and of the statistics. The program's own table has the lists themselves
// (schema/dimensions.json, which it writes); a new one of them is one row more here. Its past is there at once, since
// every word of the metadata is counted.

import dimensions from "../schema/dimensions.json";

/** What the page is to draw, as the program has it. */
export const DIMENSIONS: { name: string }[] = dimensions;

/** The dimension of the counters that counts the events themselves. */
export const EVENTS = "event";

/** By a list's name, the fields whose words it counts. */
export const FIELDS: Record<string, string[]> = {
  by_platform: ["platform"],
  by_python: ["python_version"],
  by_profile: ["profile", "profile_selected"],
  by_mode: ["mode"],
  tools: ["tools"],
  tool_failures: ["tool"],
  failure_types: ["failure_type"],
  durations: ["duration_bucket"],
  findings: ["total_findings_bucket", "findings_bucket"],
  target_types: ["target_types"],
};

/** Two lists are the axes of all others: counters have them in columns of their own. */
export const AXES = ["by_event", "by_version"];

/** Lists of the page that the statistics do not have. */
export const PAGE_ALONE = ["failure_types"];
