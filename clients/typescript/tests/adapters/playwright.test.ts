import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { GovernedPage } from "../../src/adapters/playwright.js";
import { ActionDenied, InvalidActionError } from "../../src/index.js";
import { launched } from "../browser.js";
import { eventually, stage } from "../support.js";

const POLICY = `
version: "1"
defaults: { risk_level: medium, approval: auto }
rules:
  - { name: no_admin, match: { type: navigate, target: "*/admin*" }, risk_level: critical, approval: block }
  - name: no_buying
    match: { type: click }
    conditions: { param_eq: { element.id: buy } }
    risk_level: high
    approval: block
    reason: A person buys.
  - { name: pictures, match: { type: screenshot }, risk_level: medium, approval: approve }
`;

const PAGE = `<!doctype html><title>Shop</title><h1>Hello</h1>
<input id=user><input id=password type=password><input id=card autocomplete="section-a cc-number">
<button id=greet onclick="document.querySelector('h1').textContent = 'Hello ' + user.value">Greet</button>
<button id=buy onclick="document.querySelector('h1').textContent = 'Bought'">Buy</button>
<select id=size><option value=s>Small<option value=l>Large</select>`;

let browser: Browser;
const server = createServer((request, response) => {
    response.writeHead(request.url === "/missing" ? 404 : 200, { "content-type": "text/html" }).end(PAGE);
});
let origin: string;

beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    origin = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
    browser = await launched();
});

afterAll(async () => {
    await browser.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
});

/** A credential in a query is a parameter, which the daemon masks: a target it never does. */
const MASKED = "[masked, 10 characters]";

test("a page is used as far as the policy lets it, and everything is on the record", async () => {
    await using world = await stage(POLICY);
    const page = new GovernedPage(await browser.newPage(), { client: world.client });
    expect((await page.goto(`${origin}/a/../shop?token=secret-one&token=secret-two#top`))?.status()).toBe(200);
    await page.fill("#user", "Ada", { record: true });
    await page.click("#greet");
    expect(await page.read("h1")).toBe("Hello Ada");
    expect(await page.selectOption("#size", "Large")).toEqual(["l"]);
    await page.press("#user", "Tab");
    await expect(page.click("#buy")).rejects.toThrow("A person buys.");
    await expect(page.goto(`${origin}/x/%2e%2e/admin`)).rejects.toThrow(ActionDenied);
    expect(await page.read("h1")).toBe("Hello Ada");
    await page.goto(`${origin}/missing`);
    const rows = await world.rows();
    const [user, size] = [
        { tag: "input", id: "user" },
        { tag: "select", id: "size" },
    ];
    expect(
        rows.map(({ action, resultStatus }) => [
            action.type,
            action.target.replace(origin, ""),
            action.params,
            resultStatus,
        ]),
    ).toEqual([
        ["navigate", "/shop", { query: { token: [MASKED, MASKED] }, fragment: "top" }, "success"],
        ["fill", "/shop", { selector: "#user", element: user, value: "Ada" }, "success"],
        ["click", "/shop", { selector: "#greet", element: { tag: "button", id: "greet", text: "Greet" } }, "success"],
        ["read", "/shop", { selector: "h1", element: { tag: "h1" } }, "success"],
        ["select", "/shop", { selector: "#size", element: size, values: ["Large"] }, "success"],
        ["press", "/shop", { selector: "#user", element: user, key: "Tab" }, "success"],
        ["click", "/shop", { selector: "#buy", element: { tag: "button", id: "buy", text: "Buy" } }, "blocked"],
        ["navigate", "/admin", {}, "blocked"],
        ["read", "/shop", { selector: "h1", element: { tag: "h1" } }, "success"],
        ["navigate", "/missing", {}, "failed"],
    ]);
    expect(rows[0]?.resultData).toEqual({ url: `${origin}/shop`, status: 200 });
    expect(rows.at(-1)?.resultError).toBe("HTTP 404");
});

test("a secret that is typed is never on the record, not even where typing it fails", async () => {
    await using world = await stage(POLICY);
    const page = new GovernedPage(await browser.newPage(), { client: world.client });
    const secret = `hunter2 "it's"`;
    await page.goto(origin);
    await page.fill("#user", secret);
    // Asked for, and still not: the page says what these fields are for.
    await page.fill("#password", secret, { record: true });
    await page.fill("#card", secret, { record: true });
    await expect(page.fill("#nowhere", secret, { timeout: 200 })).rejects.toThrow();
    await expect(page.fill("#size", secret, { timeout: 200 })).rejects.toThrow();
    const rows = await world.rows();
    expect(rows.map(({ resultStatus }) => resultStatus)).toEqual([
        "success",
        "success",
        "success",
        "success",
        "failed",
        "failed",
    ]);
    for (const row of rows) expect(JSON.stringify(row)).not.toContain("hunter2");
    expect(rows[1]?.action.params).toMatchObject({ selector: "#user", value: "[masked, 14 characters]" });
});

test("a picture is taken once a reviewer has said yes, and not of another page", async () => {
    await using world = await stage(POLICY);
    const raw = await browser.newPage();
    const page = new GovernedPage(raw, { client: world.client });
    await page.goto(origin);
    const taking = page.screenshot();
    await world.answer(true);
    expect((await taking).subarray(1, 4).toString()).toBe("PNG");

    const other = page.screenshot();
    await eventually(async () => ((await world.people.listApprovals()).length > 0 ? true : undefined));
    await raw.goto(`${origin}/elsewhere`);
    const refused = expect(other).rejects.toThrow(InvalidActionError);
    await world.answer(true);
    await refused;
    expect((await world.record()).slice(1)).toEqual([
        "screenshot ALLOW success",
        "screenshot ALLOW skipped",
        // Whoever has the page takes it to another document: that is governed as well.
        "navigate ALLOW success",
    ]);
    expect((await world.rows())[1]?.resultData).toEqual({ bytes: expect.any(Number) as unknown });
});
