import { defineConfig } from "vitest/config";

const source = (path: string): string => new URL(`./src/${path}`, import.meta.url).pathname;

export default defineConfig({
    // `await using` is newer than Node 20.
    oxc: { target: "es2022" },
    // Examples import the package by its name.
    resolve: { alias: [{ find: /^aegis-sidecar$/, replacement: source("index.ts") }] },
    test: {
        include: ["tests/**/*.test.ts"],
        // Longer than anything takes on a busy machine: reaching it is a failure, not a measurement.
        testTimeout: 120_000,
        hookTimeout: 120_000,
    },
});
