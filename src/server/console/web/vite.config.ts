import { defineConfig } from "vite";

/** One page, one script, one style sheet, with fixed names: the daemon adds their versions. */
export default defineConfig({
    base: "./",
    oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
    build: {
        target: "es2023",
        outDir: "../assets",
        emptyOutDir: true,
        modulePreload: false,
        assetsInlineLimit: 0,
        cssCodeSplit: false,
        reportCompressedSize: true,
        rolldownOptions: {
            output: { entryFileNames: "console.js", assetFileNames: "console[extname]", codeSplitting: false },
        },
    },
});
