/// <reference types="@cloudflare/vitest-pool-workers/types" />

declare module "*?raw" {
  const text: string;
  export default text;
}
