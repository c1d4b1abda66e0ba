/** The attacks on pages, over a server in this process: in the browser that the adapter starts, and in one of the user's. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type Browser, type BrowserContext, chromium } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { GovernedPage } from "../../src/adapters/playwright.js";
import { launch, type Launched } from "../../src/adapters/playwright/launch.js";
import { launched, OPTIONS } from "../browser.js";
import { eventually, type Stage, stage } from "../support.js";
import { type Attack, readTable } from "./table.js";

const { attacks, policy } = readTable();
const cases = attacks.filter(({ seats }) => seats.includes("browser"));

const CLICKS = '- { name: clicks, match: { type: "click" }, approval: approve, timeout: 1m }';
let [free, asked]: Stage[] = [];
let browser: Browser;
let own: Launched;
beforeAll(async () => {
    browser = await launched();
    own = await launch(chromium, OPTIONS);
    free = await stage(policy);
    asked = await stage(policy.replace(/^( *)- /m, `$1${CLICKS}\n$1- `));
});
afterAll(async () => {
    await browser.close();
    await own.close();
    await free?.[Symbol.asyncDispose]();
    await asked?.[Symbol.asyncDispose]();
});

/** A server with the page of a row, and what it was asked for. */
async function served(page: string): Promise<{ readonly origin: string; readonly seen: string[] } & AsyncDisposable> {
    const seen: string[] = [];
    const server = createServer((request, response) => {
        const url = new URL(request.url ?? "/", "http://localhost");
        seen.push(url.pathname);
        const to = url.searchParams.get("to");
        if (url.pathname === "/redirect" && to !== null) return void response.writeHead(302, { location: to }).end();
        const body = { "/": page, "/secret": "secret" }[url.pathname] ?? "";
        response.writeHead(200, { "content-type": "text/html" }).end(`<!doctype html><body>${body}</body>`);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return {
        origin: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`,
        seen,
        [Symbol.asyncDispose]: async () => {
            server.closeAllConnections();
            await new Promise((resolve) => server.close(resolve));
        },
    };
}

test("there are attacks on pages", () => expect(cases.length).toBeGreaterThan(5));

/** The browsers that a page may be of: what `GovernedPage.launch` starts, and one of the user's. */
const BROWSERS: Readonly<Record<string, () => Promise<{ context: BrowserContext; end: () => Promise<void> }>>> = {
    "one of its own": async () => {
        // The first page stays: without any, a browser ends.
        const end = async (): Promise<void> => {
            for (const page of own.context.pages().slice(1)) await page.close();
        };
        return Promise.resolve({ context: own.context, end });
    },
    "one of the user's": async () => {
        const context = await browser.newContext();
        return { context, end: async () => context.close() };
    },
};

const rows = Object.keys(BROWSERS).flatMap((of) => cases.map((row) => ({ of, row, title: `${row.name} (${of})` })));

for (const { of, row, title } of rows) {
    test(title, async () => {
        const world = row.asked === true ? asked : free;
        if (world === undefined) throw new Error("no stage");
        await using server = await served(row.page ?? "");
        const before = (await world.rows()).length;
        const { context, end } = await (BROWSERS[of] ?? expect.unreachable)();
        context.setDefaultTimeout(110_000);
        const raw = await context.newPage();
        const page = new GovernedPage(raw, { client: world.client, log: () => undefined });
        await page.goto(`${server.origin}/`);
        const acting = act(page, row, server.origin).catch((error: unknown) => error);
        if (row.change !== undefined) {
            for await (const event of world.people.streamApprovals()) {
                if (event.kind !== "pending") continue;
                if (row.change.page !== undefined) await raw.setContent(row.change.page);
                if (row.change.goes_to !== undefined) await raw.goto(`${server.origin}${row.change.goes_to}`);
                await world.people.approve(event.approval);
                break;
            }
        }
        const ended = await acting;
        if (row.opened !== undefined) {
            // Quiet is when the record says that the page was asked for.
            await eventually(async () =>
                (await world.rows())
                    .slice(before)
                    .find(({ action, result }) =>
                        action.target === `${server.origin}/secret` && result?.status === "blocked" ? true : undefined,
                    ),
            );
            expect(server.seen.filter((path) => path === "/secret")).toEqual(row.opened);
        }
        if (row.hits !== undefined) {
            expect(ended).toBeInstanceOf(Error);
            await raw.evaluate(async () => fetch("/settled"));
            expect(server.seen.filter((path) => path.startsWith("/hit/"))).toEqual(row.hits);
        }
        await end();
    });
}

async function act(page: GovernedPage, { action }: Attack, origin: string): Promise<unknown> {
    switch (action?.type) {
        case undefined:
            return undefined;
        case "click":
            return page.click(action.params?.selector ?? "");
        case "navigate":
            return page.goto(`${origin}${action.url ?? ""}`);
        default:
            throw new Error(`the action ${action?.type ?? ""} is not known to this runner`);
    }
}
