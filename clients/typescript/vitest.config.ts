import { defineConfig } from "vitest/config";

export default defineConfig({
    // `await using` is newer than Node 20.
    oxc: { target: "es2022" },
    test: {
        include: ["tests/**/*.test.ts"],
        // Longer than anything takes on a busy machine: reaching it is a failure, not a measurement.
        testTimeout: 120_000,
        hookTimeout: 120_000,
    },
});
