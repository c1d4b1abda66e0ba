/**
 * Writes every `ts` block of README.md to tests/readme/, with what it takes for granted before it, for `tsc` to
 * check.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";

const GRANTED = {
    client: "const client: import('aegis-sidecar').AegisClient",
    reviewer: "const reviewer: import('aegis-sidecar').AegisClient",
    deliver: "const deliver: (mail: { to: string }) => Promise<void>",
    crm: "const crm: { run(action: import('aegis-sidecar').Action): unknown }",
    policy: "const policy: string",
    model: "const model: import('ai').LanguageModel",
    prompt: "const prompt: string",
    updateContact: "const updateContact: (id: string, changes: object) => Promise<object>",
    // As much of Express as the example needs.
    app: `const app: { post(path: string, handler: (
        request: { params: { id: string }; body: object },
        response: import('node:http').ServerResponse & {
            json(value: unknown): void;
            status(code: number): { json(value: unknown): void };
        },
        next: (error: unknown) => void,
    ) => Promise<void>): void }`,
    sendMail: "const sendMail: import('ai').ToolSet[string]",
    readInbox: "const readInbox: import('ai').ToolSet[string]",
};
const IMPORTED = {
    ActionDenied: "aegis-sidecar",
    governed: "aegis-sidecar",
    AegisClient: "aegis-sidecar",
    Runtime: "aegis-sidecar",
    generateText: "ai",
};

const directory = new URL("readme/", import.meta.url);
rmSync(directory, { recursive: true, force: true });
mkdirSync(directory);
const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const blocks = [...readme.matchAll(/^```ts\n([^]*?)^```$/gm)].map(([, block]) => block);
if (blocks.length < 5) throw new Error("README.md has lost its examples");
for (const [i, block] of blocks.entries()) {
    const uses = (name) =>
        new RegExp(`\\b${name}\\b`).test(block) && !new RegExp(`(const|import \\{[^}]*) ?\\b${name}\\b`).test(block);
    const granted = Object.entries(GRANTED).flatMap(([name, text]) => (uses(name) ? [`declare ${text};`] : []));
    const imported = Object.entries(IMPORTED).flatMap(([name, from]) =>
        uses(name) ? [`import { ${name} } from "${from}";`] : [],
    );
    // What a block only shows counts as used.
    const names = [...block.matchAll(/^(?:await using|const) (?:\{ )?(\w+)/gm)].map(([, name]) => name);
    const shown = names.length > 0 ? [`export { ${names.join(", ")} };`] : ["export {};"];
    writeFileSync(new URL(`block-${i}.ts`, directory), [...imported, ...granted, block, ...shown].join("\n"));
}
