/** The questions that wait for a reviewer: the list, and the open one in full beside it. */
import { signal } from "@preact/signals";
import { Fragment, type JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Countdown, Failure, Moment, Risk, State } from "../parts";
import { Text } from "../Text";
import { RISKS, type Approval, type Risk as Level } from "../words";
import { Action } from "./Action";
import { sound } from "./alarm";
import { History } from "./History";
import { Help, useKeys } from "./keys";
import * as queue from "./state";
import type { Verdict } from "./vote";
import { VoteDialog } from "./VoteDialog";

/** Rows on the screen at once. A thousand would be slow, and nobody reads them. */
const PAGE = 200;

const voting = signal<{ questions: readonly Approval[]; verdict: Verdict } | null>(null);
const helping = signal(false);

/** Asks about the chosen questions, else about the open one. */
function ask(verdict: Verdict): void {
    const many = [...queue.chosen.value].flatMap((id) => queue.find(id) ?? []).filter((it) => it.ending === null);
    const one = queue.open.value;
    if (many.length > 0) voting.value = { questions: many, verdict };
    else if (one && one.ending === null) voting.value = { questions: [one], verdict };
}

function Row(props: { question: Approval }): JSX.Element {
    const { approval_id, action, actor, context, risk_level, expires_at, ending } = props.question;
    const isOpen = queue.openId.value === approval_id;
    const row = useRef<HTMLLIElement>(null);
    useEffect(() => {
        if (isOpen) row.current?.scrollIntoView({ block: "nearest" });
    }, [isOpen]);
    return (
        <li ref={row} class={`row ${isOpen ? "current" : ""} ${ending ? "over" : ""}`}>
            <input
                type="checkbox"
                aria-label={`Choose ${action.type} on ${action.target}`}
                checked={queue.chosen.value.has(approval_id)}
                disabled={ending !== null}
                onChange={() => queue.choose(approval_id)}
            />
            <button type="button" aria-current={isOpen} onClick={() => (queue.openId.value = approval_id)}>
                <span class="line">
                    <Risk level={risk_level} />
                    <strong class="cut">
                        <Text text={action.type} />
                    </strong>
                    {ending ? <State word={ending.kind} /> : <Countdown until={expires_at} />}
                </span>
                <span class="line cut">
                    {action.target === "" ? <span class="muted">no target</span> : <Text text={action.target} />}
                </span>
                <span class="line cut muted">
                    <Text text={actor.id} />
                    {context.session_id !== "" && (
                        <>
                            {" · "}
                            <Text text={context.session_id} />
                        </>
                    )}
                </span>
            </button>
        </li>
    );
}

function List(): JSX.Element {
    const [limit, setLimit] = useState(PAGE);
    const list = queue.shown.value;
    if (list.length === 0) {
        const isFiltered = queue.pendingCount.value > 0;
        return (
            <p class="empty">
                {queue.connection.value === "connecting"
                    ? "Asking the daemon…"
                    : isFiltered
                      ? "No pending question matches the filter."
                      : "Nothing waits for you."}
            </p>
        );
    }
    let session: string | null = null;
    return (
        <>
            <ul class="rows" aria-label="Pending questions">
                {list.slice(0, limit).map((question) => {
                    const isNext = queue.bySession.value && question.context.session_id !== session;
                    session = question.context.session_id;
                    return (
                        <Fragment key={question.approval_id}>
                            {isNext && (
                                <li class="group">
                                    Session {session === "" ? <span class="muted">none</span> : <Text text={session} />}
                                </li>
                            )}
                            <Row question={question} />
                        </Fragment>
                    );
                })}
            </ul>
            {list.length > limit && (
                <button type="button" onClick={() => setLimit(limit + PAGE)}>
                    Show {Math.min(PAGE, list.length - limit)} more of {list.length}
                </button>
            )}
        </>
    );
}

function Ended(): JSX.Element | null {
    const list = queue.ended.value;
    if (list.length === 0) return null;
    return (
        <details class="ended">
            <summary>Ended while you were here ({list.length})</summary>
            <ul>
                {list.map(({ approval_id, action, ending }) => (
                    <li key={approval_id}>
                        <button type="button" class="link" onClick={() => (queue.openId.value = approval_id)}>
                            {ending && <State word={ending.kind} />} <Text text={action.type} />{" "}
                            <span class="muted">on</span> <Text text={action.target} />{" "}
                            {ending && <Moment at={ending.ended_at} ago />}
                        </button>
                    </li>
                ))}
            </ul>
        </details>
    );
}

function Filters(): JSX.Element {
    return (
        <div class="filters" role="search">
            <input
                id="filter"
                type="search"
                placeholder="Filter ( / )"
                aria-label="Filter by type, target, actor, session or rule"
                value={queue.filter.value}
                onInput={(event) => (queue.filter.value = event.currentTarget.value)}
            />
            <select
                aria-label="Risk"
                value={queue.leastRisk.value}
                onChange={(event) => (queue.leastRisk.value = event.currentTarget.value as Level)}
            >
                {[...RISKS].reverse().map((risk) => (
                    <option key={risk} value={risk}>
                        {risk === "LOW"
                            ? "any risk"
                            : risk === "CRITICAL"
                              ? "critical"
                              : `${risk.toLowerCase()} or more`}
                    </option>
                ))}
            </select>
            <select
                aria-label="Order"
                value={queue.order.value}
                onChange={(event) => (queue.order.value = event.currentTarget.value as queue.Order)}
            >
                {queue.ORDERS.map((order) => (
                    <option key={order} value={order}>
                        by {order}
                    </option>
                ))}
            </select>
            <label class="check">
                <input
                    type="checkbox"
                    checked={queue.bySession.value}
                    onChange={(event) => (queue.bySession.value = event.currentTarget.checked)}
                />
                by session
            </label>
            <label class="check">
                <input
                    type="checkbox"
                    checked={sound.value}
                    onChange={(event) => (sound.value = event.currentTarget.checked)}
                />
                sound
            </label>
        </div>
    );
}

function Detail(props: { question: Approval }): JSX.Element {
    const { question } = props;
    const [failure, setFailure] = useState<string | null>(null);
    const pane = useRef<HTMLElement>(null);
    useEffect(() => {
        pane.current?.scrollTo(0, 0);
        void queue.detail(question.approval_id).then(setFailure);
    }, [question.approval_id]);
    return (
        <section class="detail" ref={pane} aria-label="The open question" tabIndex={0}>
            <button type="button" class="back" onClick={() => (queue.openId.value = null)}>
                ‹ All questions
            </button>
            <Action question={question} />
            <History question={question} />
            <Failure message={failure} />
            {question.ending === null && queue.chosen.value.size === 0 && <Buttons />}
        </section>
    );
}

function Buttons(): JSX.Element {
    const count = queue.chosen.value.size;
    return (
        <div class="buttons vote">
            {count > 0 && (
                <button type="button" onClick={() => (queue.chosen.value = new Set())}>
                    Choose none
                </button>
            )}
            <button type="button" class="deny" onClick={() => ask("deny")}>
                Deny{count > 0 ? ` ${count}…` : "…"} <kbd>d</kbd>
            </button>
            <button type="button" class="approve" onClick={() => ask("approve")}>
                Approve{count > 0 ? ` ${count}…` : "…"} <kbd>a</kbd>
            </button>
        </div>
    );
}

export function QueuePage(): JSX.Element {
    useKeys({
        j: () => queue.move(1),
        k: () => queue.move(-1),
        ArrowDown: () => queue.move(1),
        ArrowUp: () => queue.move(-1),
        a: () => ask("approve"),
        d: () => ask("deny"),
        x: () => queue.openId.value && queue.choose(queue.openId.value),
        Escape: () => (queue.chosen.value.size > 0 ? (queue.chosen.value = new Set()) : (queue.openId.value = null)),
        "/": () => document.getElementById("filter")?.focus(),
        "?": () => (helping.value = true),
    });
    const question = queue.open.value;
    return (
        <div class={`queue ${question ? "has-open" : ""}`}>
            <section class="questions" aria-label="Questions">
                <h1 class="hidden">Queue</h1>
                <Filters />
                <p class="count" aria-live="polite">
                    {queue.pendingCount.value} pending
                    {queue.connection.value === "lost" && (
                        <strong class="lost"> · the daemon is away, trying again</strong>
                    )}
                    <button type="button" class="link right" onClick={() => (helping.value = true)}>
                        Keys
                    </button>
                </p>
                <List />
                <Ended />
                {queue.chosen.value.size > 0 && <Buttons />}
            </section>
            {question ? (
                <Detail question={question} />
            ) : (
                <section class="detail none">
                    <p class="empty">Open a question to see all of it.</p>
                </section>
            )}
            {voting.value && <VoteDialog {...voting.value} close={() => (voting.value = null)} />}
            {helping.value && <Help close={() => (helping.value = false)} />}
        </div>
    );
}
