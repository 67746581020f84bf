// What is counted under which name: the fields that feed each list of the page and of the statistics. A new chart is one
// row here; its past is there, since every word of the metadata is counted.

export interface Chart {
  /** Its name on the page. */
  about: string;
  /** Its name in the statistics, if it is there. */
  summary: string | null;
  /** The dimensions of the counters that make it. */
  dimensions: string[];
}

export const CHARTS: Chart[] = [
  { about: "platforms", summary: "by_platform", dimensions: ["platform"] },
  { about: "pythons", summary: "by_python", dimensions: ["python_version"] },
  { about: "profiles", summary: "by_profile", dimensions: ["profile", "profile_selected"] },
  { about: "modes", summary: "by_mode", dimensions: ["mode"] },
  { about: "tools", summary: "tools", dimensions: ["tools"] },
  { about: "tool_failures", summary: "tool_failures", dimensions: ["tool"] },
  { about: "failure_types", summary: null, dimensions: ["failure_type"] },
  { about: "durations", summary: "durations", dimensions: ["duration_bucket"] },
  {
    about: "findings",
    summary: "findings",
    dimensions: ["total_findings_bucket", "findings_bucket"],
  },
  { about: "target_types", summary: "target_types", dimensions: ["target_types"] },
];

/** The dimension that counts the events themselves. */
export const EVENTS = "event";
