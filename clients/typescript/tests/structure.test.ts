import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { expect, test } from "vitest";

const SOURCE = new URL("../src/", import.meta.url).pathname;

/** Every source file that a person wrote, and the files that it imports or exports from, types included. */
function imports(): Map<string, string[]> {
    const files = readdirSync(SOURCE, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"));
    const found = new Map<string, string[]>();
    for (const file of files) {
        const text = readFileSync(join(SOURCE, file), "utf8");
        const named = [...text.matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)\.js"/g)].map(([, path]) => path as string);
        found.set(
            file,
            named.map((path) => `${relative(SOURCE, join(SOURCE, dirname(file), path))}.ts`),
        );
    }
    return found;
}

/** The first circle that following the imports comes upon. */
function circle(graph: ReadonlyMap<string, readonly string[]>): string[] | undefined {
    const done = new Set<string>();
    const follow = (file: string, way: readonly string[]): string[] | undefined => {
        const start = way.indexOf(file);
        if (start !== -1) return [...way.slice(start), file];
        if (done.has(file)) return undefined;
        for (const next of graph.get(file) ?? []) {
            const found = follow(next, [...way, file]);
            if (found !== undefined) return found;
        }
        done.add(file);
        return undefined;
    };
    for (const file of graph.keys()) {
        const found = follow(file, []);
        if (found !== undefined) return found;
    }
    return undefined;
}

test("no two source files import each other, over however many files", () => {
    const graph = imports();
    expect(graph.size).toBeGreaterThan(30);
    for (const [file, named] of graph) {
        for (const one of named) expect([...graph.keys()], `${file} imports ${one}`).toContain(one);
    }
    expect(circle(graph)).toBeUndefined();
});

test("a circle is found, whatever else there is", () => {
    const graph = new Map([
        ["a", ["b", "d"]],
        ["b", ["c"]],
        ["c", ["d", "a"]],
        ["d", []],
    ]);
    expect(circle(graph)).toEqual(["a", "b", "c", "a"]);
});

test("an adapter is imported by no other part of the package", () => {
    for (const [file, named] of imports()) {
        if (file.startsWith("adapters/")) continue;
        expect(
            named.filter((one) => one.startsWith("adapters/")),
            file,
        ).toEqual([]);
    }
});

test("no line is longer than 120 columns", () => {
    for (const file of imports().keys()) {
        if (file.startsWith("proto/")) continue;
        const lines = readFileSync(join(SOURCE, file), "utf8").split("\n");
        const long = lines.flatMap((line, i) => (line.length > 120 ? [i + 1] : []));
        expect(long, file).toEqual([]);
    }
});
