/** The record: what was decided, filtered, and live. */
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Failure, Field, Moment, Risk, State } from "../parts";
import { Text } from "../Text";
import { OUTCOMES, RISKS, type Row } from "../words";
import * as audit from "./state";

/** How often a live list asks for what is new. */
const EVERY = 2000;

/** Where there is room, the filter is open. */
const WIDE = matchMedia("(min-width: 52rem)");

const FIELDS = [
    ["actor_id", "Actor", "agent-7"],
    ["approver", "Approver", "token:ada"],
    ["matched_rule", "Rule", "bulk_update"],
    ["session_id", "Session", ""],
    ["action_type", "Type (glob)", "delete*"],
    ["target", "Target (glob)", "prod/*"],
] as const;

function Filters(): JSX.Element {
    const [draft, setDraft] = useState(audit.filter.value);
    const set = (name: keyof audit.Filter) => (event: { currentTarget: HTMLInputElement | HTMLSelectElement }) =>
        setDraft({ ...draft, [name]: event.currentTarget.value });
    const use = (filter: audit.Filter): void => {
        setDraft(filter);
        audit.filter.value = filter;
        void audit.read(false);
    };
    const submit = (event: Event): void => {
        event.preventDefault();
        use(draft);
    };
    return (
        <form class="form" role="search" onSubmit={submit}>
            {FIELDS.map(([name, label, example]) => (
                <Field key={name} label={label}>
                    <input value={draft[name]} placeholder={example} onInput={set(name)} />
                </Field>
            ))}
            <Field label="Outcome">
                <select value={draft.outcome} onChange={set("outcome")}>
                    <option value="">any</option>
                    {OUTCOMES.map((outcome) => (
                        <option key={outcome} value={outcome}>
                            {outcome.toLowerCase().replaceAll("_", " ")}
                        </option>
                    ))}
                </select>
            </Field>
            <Field label="Risk">
                <select value={draft.min_risk_level} onChange={set("min_risk_level")}>
                    <option value="">any</option>
                    {RISKS.map((risk) => (
                        <option key={risk} value={risk}>
                            {risk.toLowerCase()} or more
                        </option>
                    ))}
                </select>
            </Field>
            <Field label="From (local time)">
                <input type="datetime-local" value={draft.since} onInput={set("since")} />
            </Field>
            <Field label="To (local time)">
                <input type="datetime-local" value={draft.until} onInput={set("until")} />
            </Field>
            <div class="buttons">
                <button type="button" onClick={() => use(audit.NO_FILTER)}>
                    Clear
                </button>
                <button type="submit" class="primary">
                    Search
                </button>
            </div>
        </form>
    );
}

function Line(props: { row: Row }): JSX.Element {
    const { row } = props;
    return (
        <tr>
            <td data-label="Time">
                <a href={`#/decision/${row.decision_id}`}>
                    <Moment at={row.timestamp} />
                </a>
            </td>
            <td data-label="Action">
                <Text text={row.action_type} />
                <br />
                <span class="muted">
                    <Text text={row.action_target} />
                </span>
            </td>
            <td data-label="Actor">
                <Text text={row.actor_id} />
            </td>
            <td data-label="Risk">
                <Risk level={row.risk_level} />
            </td>
            <td data-label="Rule">
                <Text text={row.matched_rule} />
            </td>
            <td data-label="Decision">
                <State word={row.outcome} />
                {row.human_decision && (
                    <>
                        <br />
                        <span class="muted">
                            {row.human_decision.toLowerCase()}
                            {row.decided_by && (
                                <>
                                    {" "}
                                    by <Text text={row.decided_by} />
                                </>
                            )}
                        </span>
                    </>
                )}
            </td>
            <td data-label="Result">{row.result_status && <State word={row.result_status} />}</td>
        </tr>
    );
}

export function AuditPage(): JSX.Element {
    useEffect(() => void audit.read(false), []);
    const isLive = audit.isLive.value;
    useEffect(() => {
        if (!isLive) return;
        const abort = new AbortController();
        const timer = setInterval(() => {
            if (!document.hidden && !audit.isReading.value) void audit.refresh(abort.signal);
        }, EVERY);
        return () => {
            clearInterval(timer);
            abort.abort();
        };
    }, [isLive]);
    const rows = audit.rows.value;
    return (
        <div class="page">
            <h1>Audit</h1>
            <details class="filter" open={WIDE.matches || audit.filter.value !== audit.NO_FILTER}>
                <summary>Filter</summary>
                <Filters />
            </details>
            <Failure message={audit.failure.value} />
            <p class="count">
                <label class="check">
                    <input
                        type="checkbox"
                        checked={isLive}
                        onChange={(event) => (audit.isLive.value = event.currentTarget.checked)}
                    />
                    live
                </label>
                <span class="right">{rows.length} shown, newest first</span>
            </p>
            <div class="scroll card" tabIndex={0} role="group" aria-label="Decisions">
                <table class="stack">
                    <thead>
                        <tr>
                            <th>Time</th>
                            <th>Action</th>
                            <th>Actor</th>
                            <th>Risk</th>
                            <th>Rule</th>
                            <th>Decision</th>
                            <th>Result</th>
                        </tr>
                    </thead>
                    <tbody>
                        {rows.map((row) => (
                            <Line key={row.decision_id} row={row} />
                        ))}
                    </tbody>
                </table>
                {rows.length === 0 && !audit.isReading.value && <p class="empty">No decision matches.</p>}
            </div>
            {audit.next.value !== null && (
                <button type="button" disabled={audit.isReading.value} onClick={() => void audit.read(true)}>
                    Show older decisions
                </button>
            )}
        </div>
    );
}
