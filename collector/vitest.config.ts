import { cloudflareTest, readD1Migrations } from "@cloudflare/vitest-pool-workers";
import { PeriodType } from "miniflare";
import { defineConfig } from "vitest/config";

/** The service's tests run inside workerd, beside the service; those of serve.mjs run in Node and start it. */
export default defineConfig(async () => {
  const migrations = await readD1Migrations("migrations");
  return {
    test: {
      projects: [
        {
          plugins: [
            cloudflareTest({
              main: "src/worker.ts",
              miniflare: {
                compatibilityDate: "2026-04-01",
                compatibilityFlags: ["nodejs_compat"],
                cf: false,
                bindings: { STATS_TOKEN: "the-maintainers-token", MIGRATIONS: migrations },
                d1Databases: ["DB"],
                ratelimits: { RATE_LIMITER: { simple: { limit: 60, period: PeriodType.MINUTE } } },
              },
            }),
          ],
          test: { name: "service", include: ["test/service/*.test.ts"], testTimeout: 60_000 },
        },
        {
          test: { name: "process", include: ["test/process/*.test.ts"], testTimeout: 60_000 },
        },
      ],
    },
  };
});
