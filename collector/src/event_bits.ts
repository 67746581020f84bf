/** The bit of each event where a number stands for a set of them. Stored, so never changed. */
export const EVENT_BITS: Record<string, number> = {
  "scan.started": 1,
  "scan.completed": 2,
  "tool.failed": 4,
  "wizard.completed": 8,
  "report.generated": 16,
  "policy.evaluated": 32,
};
