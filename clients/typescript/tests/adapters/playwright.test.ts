import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { existsSync } from "node:fs";
import { type Browser, type BrowserType, chromium } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { GovernedPage } from "../../src/adapters/playwright.js";
import { ActionDenied, InvalidActionError } from "../../src/index.js";
import { launched, opened, OPTIONS } from "../browser.js";
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
const posted: string[] = [];
const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://localhost");
    const to = url.searchParams.get("to");
    if (to !== null) {
        posted.push(`${request.method ?? ""} ${url.pathname}`);
        return void response.writeHead(302, { location: to }).end();
    }
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
    const page = new GovernedPage(await opened(browser), { client: world.client });
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
    const element = (tag: string, text: string, id?: string): unknown => ({
        ...(id !== undefined && { id }),
        tag,
        text,
        digest: expect.stringMatching(/^[0-9a-f]{16}$/) as unknown,
    });
    const [user, size] = [element("input", "", "user"), element("select", "Small Large", "size")];
    expect(
        rows.map(({ action, result }) => [
            action.type,
            action.target.replace(origin, ""),
            action.params,
            result?.status,
        ]),
    ).toEqual([
        ["navigate", "/shop", { query: { token: [MASKED, MASKED] }, fragment: "top" }, "success"],
        ["fill", "/shop", { selector: "#user", element: user, value: "Ada" }, "success"],
        ["click", "/shop", { selector: "#greet", element: element("button", "Greet", "greet") }, "success"],
        ["read", "/shop", { selector: "h1", element: element("h1", "Hello Ada") }, "success"],
        ["select", "/shop", { selector: "#size", element: size, values: ["Large"] }, "success"],
        ["press", "/shop", { selector: "#user", element: user, key: "Tab" }, "success"],
        ["click", "/shop", { selector: "#buy", element: element("button", "Buy", "buy") }, "blocked"],
        ["navigate", "/admin", {}, "blocked"],
        ["read", "/shop", { selector: "h1", element: element("h1", "Hello Ada") }, "success"],
        ["navigate", "/missing", {}, "failed"],
    ]);
    expect(rows[0]?.result?.data).toEqual({ url: `${origin}/shop`, status: 200 });
    expect(rows.at(-1)?.result?.error).toBe("HTTP 404");
});

test("a secret that is typed is never on the record, not even where typing it fails", async () => {
    await using world = await stage(POLICY);
    const page = new GovernedPage(await opened(browser), { client: world.client });
    const secret = `hunter2 "it's"`;
    await page.goto(origin);
    await page.fill("#user", secret);
    // Asked for, and still not: the page says what these fields are for.
    await page.fill("#password", secret, { record: true });
    await page.fill("#card", secret, { record: true });
    await expect(page.fill("#nowhere", secret, { timeout: 200 })).rejects.toThrow();
    await expect(page.fill("#size", secret, { timeout: 200 })).rejects.toThrow();
    const rows = await world.rows();
    expect(rows.map(({ result }) => result?.status)).toEqual([
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
    const raw = await opened(browser);
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
    expect((await world.rows())[1]?.result?.data).toEqual({ bytes: expect.any(Number) as unknown });
});

test("redirects are followed hop by hop, each one a proposal, to where they lead", async () => {
    await using world = await stage(POLICY);
    const raw = await opened(browser);
    const page = new GovernedPage(raw, { client: world.client });
    const response = await page.goto(`${origin}/one?to=/two?to=/three`);
    expect([response?.status(), raw.url()]).toEqual([200, `${origin}/three`]);
    await expect(page.goto(`${origin}/one?to=/two?to=/admin`)).rejects.toThrow(ActionDenied);
    expect(raw.url()).toBe(`${origin}/three`);
    expect((await world.rows()).map(({ action, result }) => `${action.target} ${String(result?.status)}`)).toEqual(
        ["one success", "two success", "three success", "one success", "two success", "admin blocked"].map(
            (row) => `${origin}/${row}`,
        ),
    );
});

test("links, forms, frames and windows lead where the policy lets them", async () => {
    await using world = await stage(POLICY);
    const raw = await opened(browser);
    const page = new GovernedPage(raw, { client: world.client });
    await page.goto(origin);
    const html = `<a id=link href="/hop?to=/next">x</a><a id=open target=_blank href="/window?to=/opened">x</a>
        <form method=post action="/form?to=/sent"><input name=a value=b><button id=send>x</button></form>
        <iframe src="/framed"></iframe>`;
    await raw.setContent(html);
    const popup = raw.waitForEvent("popup");
    await page.click("#open");
    await (await popup).waitForURL(`${origin}/opened`);
    await page.click("#send");
    await raw.waitForURL(`${origin}/sent`);
    await raw.setContent(html);
    await page.click("#link");
    await raw.waitForURL(`${origin}/next`);
    const rows = await world.rows();
    const seen = new Set(rows.map(({ action }) => `${action.type} ${action.target.replace(origin, "")}`));
    for (const path of ["/framed", "/window", "/opened", "/form", "/sent", "/hop", "/next"])
        expect(seen).toContain(`navigate ${path}`);
    expect(rows.find(({ action }) => action.target.endsWith("/form"))?.action.params).toEqual({
        query: { to: ["/sent"] },
        from: `${origin}/`,
        method: "post",
        body: "a=b",
    });
    expect(posted).toContain("POST /form");
});

test("a page of the same context that the governed one has not opened is left alone", async () => {
    await using world = await stage(POLICY);
    const context = await browser.newContext();
    const page = new GovernedPage(await context.newPage(), { client: world.client });
    await page.goto(origin);
    const other = await context.newPage();
    await other.goto(`${origin}/admin`);
    expect(other.url()).toBe(`${origin}/admin`);
    expect(await world.rows()).toHaveLength(1);
    await context.close();
});

test("a file has one spelling, and a selector looks into no frame and picks nothing by number", async () => {
    await using world = await stage(`
version: "1"
defaults: { risk_level: low, approval: auto }
rules: [{ name: no_files, match: { target: "file:///etc/*" }, approval: block }]
`);
    const page = new GovernedPage(await opened(browser), { client: world.client });
    for (const url of ["FILE:///etc/hosts", "file:/etc/hosts", "file:etc/hosts", "file://localhost/etc/hosts"])
        await expect(page.goto(url), url).rejects.toThrow(ActionDenied);
    for (const url of ["file:///%65tc/hosts", "file:///etc/hosts?x", "file:///etc/../etc/hosts#x"])
        await expect(page.goto(url), url).rejects.toThrow(ActionDenied);
    for (const url of [
        "file:////etc/hosts",
        "file://other/etc/hosts",
        "file:///etc%2fhosts",
        "javascript:1",
        "view-source:x",
    ])
        await expect(page.goto(url), url).rejects.toThrow(InvalidActionError);
    await page.goto(origin);
    await expect(page.click("button >> nth=1")).rejects.toThrow("holds `>>`");
});

test("what failed is on the record in one line, without the page's text and without a query", async () => {
    await using world = await stage(POLICY);
    const raw = await opened(browser);
    const page = new GovernedPage(raw, { client: world.client });
    await page.goto(origin);
    await raw.setContent('<div style="position:fixed;inset:0">secret of the page</div><button id=below>x</button>');
    // Long enough to find the element even on a busy machine: what then takes too long is the click.
    await expect(page.click("#below", { timeout: 4000 })).rejects.toThrow("Timeout");
    await expect(page.goto("http://127.0.0.1:1/a?token=hunter2", { timeout: 100_000 })).rejects.toThrow("net::");
    const [clicked, gone] = (await world.rows()).slice(1);
    expect(clicked?.result?.error).toMatch(/^elementHandle\.click: Timeout 4000ms exceeded\.?$/);
    expect(gone?.result?.error).toContain("net::");
    expect(JSON.stringify(await world.rows())).not.toMatch(/hunter2|secret of the page/);
});

test.each([
    ["says something else", "document.querySelector('#greet').textContent = 'Delete everything'"],
    ["does something else", "document.querySelector('#greet').setAttribute('onclick', 'document.title = 1')"],
])("an element that %s by the time of the yes is not clicked", async (_, change) => {
    await using world = await stage(
        POLICY.replace("rules:", "rules:\n  - { match: { type: click }, approval: approve }"),
    );
    const raw = await opened(browser);
    const page = new GovernedPage(raw, { client: world.client, log: () => undefined });
    await page.goto(origin);
    const clicking = expect(page.click("#greet")).rejects.toThrow("the element changed while the proposal waited");
    await eventually(async () => ((await world.people.listApprovals()).length > 0 ? true : undefined));
    await raw.evaluate(change);
    await world.answer(true);
    await clicking;
    expect(await raw.innerText("h1")).toBe("Hello");
    expect((await world.record()).at(-1)).toBe("click ALLOW skipped");
});

test("a browser of the adapter's own has a profile of its own, which ends with it", async () => {
    await using world = await stage(POLICY);
    let profile = "";
    const noting = new Proxy(chromium, {
        get: (of, name) =>
            name === "launchPersistentContext"
                ? async (...args: Parameters<BrowserType["launchPersistentContext"]>) => {
                      [profile] = args;
                      return of.launchPersistentContext(...args);
                  }
                : (Reflect.get(of, name) as unknown),
    });
    const page = await GovernedPage.launch(noting, { client: world.client }, OPTIONS);
    expect((await page.goto(`${origin}/shop`))?.status()).toBe(200);
    expect(existsSync(profile)).toBe(true);
    await page.close();
    expect(existsSync(profile)).toBe(false);
    await expect(page.goto(origin)).rejects.toThrow("closed");

    const nothing = { ...OPTIONS, executablePath: "/nonexistent/browser" };
    await expect(GovernedPage.launch(noting, { client: world.client }, nothing)).rejects.toThrow("nonexistent");
    expect(existsSync(profile)).toBe(false);
});
