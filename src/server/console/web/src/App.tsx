/** The frame of all pages: where one is, who one is, and whether the daemon answers. */
import { effect, signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { AuditPage } from "./audit/AuditPage";
import { DecisionPage } from "./audit/DecisionPage";
import { FiguresPage } from "./figures/FiguresPage";
import { PolicyPage } from "./policy/PolicyPage";
import { badge } from "./queue/alarm";
import { QueuePage } from "./queue/QueuePage";
import * as queue from "./queue/state";
import { caller, isKnown, may, signOut, start } from "./session";
import { SignIn } from "./SignIn";

/** The page, in the fragment: `#/audit`. */
const place = signal(location.hash);
addEventListener("hashchange", () => (place.value = location.hash));

type Theme = "auto" | "light" | "dark";
const THEMES: readonly Theme[] = ["auto", "light", "dark"];
const THEME = "aegis-console-theme";
const theme = signal<Theme>(THEMES.find((it) => it === localStorage.getItem(THEME)) ?? "auto");
effect(() => {
    document.documentElement.dataset["theme"] = theme.value;
    localStorage.setItem(THEME, theme.value);
});
effect(() => badge(queue.pendingCount.value));

interface Page {
    name: string;
    title: string;
    allowed: boolean;
    show: (rest: string) => JSX.Element;
}

function pages(): Page[] {
    const { review, audit, readPolicy } = may.value;
    const all: Page[] = [
        { name: "queue", title: "Queue", allowed: review, show: () => <QueuePage /> },
        { name: "audit", title: "Audit", allowed: audit, show: () => <AuditPage /> },
        { name: "figures", title: "Figures", allowed: audit, show: () => <FiguresPage theme={theme.value} /> },
        { name: "policy", title: "Policy", allowed: readPolicy, show: () => <PolicyPage /> },
        { name: "decision", title: "", allowed: audit, show: (id) => <DecisionPage id={id} /> },
    ];
    return all.filter((page) => page.allowed);
}

function Frame(): JSX.Element {
    const [, name = "", rest = ""] = /^#\/([a-z]+)\/?(.*)$/.exec(place.value) ?? [];
    const list = pages();
    const page = list.find((it) => it.name === name) ?? list[0];
    useEffect(() => {
        if (!may.value.review) return;
        const abort = new AbortController();
        queue.start(abort.signal);
        return () => abort.abort();
    }, [caller.value?.subject]);
    return (
        <>
            <header>
                <a href="#/queue" class="brand">
                    <img src="./icon.svg" alt="" width="22" height="22" /> Aegis
                </a>
                <nav aria-label="Pages">
                    {list.map(
                        (it) =>
                            it.title && (
                                <a key={it.name} href={`#/${it.name}`} aria-current={it === page ? "page" : undefined}>
                                    {it.title}
                                    {it.name === "queue" && queue.pendingCount.value > 0 && (
                                        <span class="badge">{queue.pendingCount.value}</span>
                                    )}
                                </a>
                            ),
                    )}
                </nav>
                <span class="who" title={caller.value?.roles.join(", ")}>
                    {caller.value?.subject}
                </span>
                <select
                    aria-label="Colours"
                    value={theme.value}
                    onChange={(event) => (theme.value = event.currentTarget.value as Theme)}
                >
                    {THEMES.map((it) => (
                        <option key={it}>{it}</option>
                    ))}
                </select>
                <button type="button" onClick={signOut}>
                    Sign out
                </button>
            </header>
            <main>{page?.show(rest)}</main>
        </>
    );
}

export function App(): JSX.Element {
    const [failure, setFailure] = useState<string | null>(null);
    useEffect(() => {
        void start().then(setFailure);
    }, []);
    if (!isKnown.value) return <main class="empty">Asking the daemon…</main>;
    return caller.value === null ? <SignIn key={failure} failure={failure} /> : <Frame />;
}
