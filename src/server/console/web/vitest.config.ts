import { defineConfig } from "vitest/config";

export default defineConfig({
    test: {
        include: ["tests/**/*.test.ts"],
        // A browser and a daemon of its own for each file.
        testTimeout: 30_000,
        hookTimeout: 60_000,
    },
});
