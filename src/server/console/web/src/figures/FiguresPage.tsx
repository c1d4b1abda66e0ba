/** Figures of the record: for whoever asks whether the policy asks too much, too little, or too late. */
import type { JSX } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { daemonNow, get, path, why } from "../api";
import { Failure, Field } from "../parts";
import { duration } from "../time";
import { Text } from "../Text";
import type { Policy, Row } from "../words";
import { Chart } from "./Chart";
import { counted, decidingTimes, overTime, percentile, type By } from "./figures";

const HOUR = 3_600_000;
const SPANS: readonly (readonly [string, number])[] = [
    ["hour", HOUR],
    ["day", 24 * HOUR],
    ["week", 7 * 24 * HOUR],
    ["month", 30 * 24 * HOUR],
];
const INTERVALS = 30;
/** More rows than these would take a browser long. */
const MOST_ROWS = 5000;
const TOP = 8;
/** The most rules that the daemon counts in one answer. */
const MOST_RULES = 100;

interface Stats {
    decisions: number;
    pending_approvals: number;
    top_rules: { name: string; count: number }[];
}

interface Read {
    rows: Row[];
    from: number;
    to: number;
    stats: Stats;
    policy: Policy;
}

async function read(span: number, abort: AbortSignal): Promise<Read> {
    const to = daemonNow();
    const from = to - span;
    const [rows, stats, policy] = await Promise.all([
        get<Row[]>(path("/api/v1/audit", { since: new Date(from).toISOString(), limit: MOST_ROWS }), abort),
        get<Stats>(`/api/v1/stats?top=${MOST_RULES}`, abort),
        get<Policy>("/api/v1/policy", abort),
    ]);
    return { rows, from, to, stats, policy };
}

function Figure(props: { title: string; value: string }): JSX.Element {
    return (
        <div class="figure">
            <dt>{props.title}</dt>
            <dd>{props.value}</dd>
        </div>
    );
}

/** Names with their counts, as bars. */
function Bars(props: { counts: readonly (readonly [string, number])[] }): JSX.Element {
    const most = Math.max(1, ...props.counts.map(([, count]) => count));
    return (
        <ol class="bars">
            {props.counts.map(([name, count]) => (
                <li key={name}>
                    <span class="bar" style={{ width: `${(100 * count) / most}%` }} />
                    <span class="cut">
                        <Text text={name} />
                    </span>
                    <span>{count}</span>
                </li>
            ))}
        </ol>
    );
}

function Unused(props: { policy: Policy; stats: Stats }): JSX.Element {
    const { policy, stats } = props;
    const used = new Set(stats.top_rules.map(({ name }) => name));
    const unused = policy.rules.filter(({ name }) => !used.has(name));
    const isPartial = stats.top_rules.length >= MOST_RULES;
    return (
        <section class="card">
            <h2>Rules that never decided anything</h2>
            <p class="note">
                Of the policy in force, over the whole record.
                {isPartial &&
                    ` The daemon counts the ${MOST_RULES} most frequent rules only, so some of these may have decided.`}
            </p>
            {unused.length === 0 ? (
                <p class="muted">Every rule has decided something.</p>
            ) : (
                <ul>
                    {unused.map(({ name }) => (
                        <li key={name}>
                            <code>{name}</code>
                        </li>
                    ))}
                </ul>
            )}
        </section>
    );
}

export function FiguresPage(props: { theme: string }): JSX.Element {
    const [span, setSpan] = useState(24 * HOUR);
    const [by, setBy] = useState<By>("outcome");
    const [found, setFound] = useState<Read | null>(null);
    const [failure, setFailure] = useState<string | null>(null);
    useEffect(() => {
        const abort = new AbortController();
        const refresh = (): void => {
            read(span, abort.signal).then(
                (found) => {
                    setFound(found);
                    setFailure(null);
                },
                (error: unknown) => abort.signal.aborted || setFailure(why(error)),
            );
        };
        refresh();
        const timer = setInterval(() => !document.hidden && refresh(), 30_000);
        return () => {
            clearInterval(timer);
            abort.abort();
        };
    }, [span]);
    const data = useMemo(() => found && overTime(found.rows, by, found.from, found.to, INTERVALS), [found, by]);
    const times = useMemo(() => decidingTimes(found?.rows ?? []), [found]);
    const time = (share: number): string => {
        const value = percentile(times, share);
        return value === null ? "none yet" : duration(value);
    };
    const name = SPANS.find(([, length]) => length === span)?.[0] ?? "";
    return (
        <div class="page">
            <h1>Figures</h1>
            <div class="form">
                <Field label="Over the last">
                    <select value={String(span)} onChange={(event) => setSpan(Number(event.currentTarget.value))}>
                        {SPANS.map(([name, length]) => (
                            <option key={name} value={length}>
                                {name}
                            </option>
                        ))}
                    </select>
                </Field>
                <Field label="By">
                    <select value={by} onChange={(event) => setBy(event.currentTarget.value as By)}>
                        <option>outcome</option>
                        <option>risk</option>
                        <option>rule</option>
                    </select>
                </Field>
            </div>
            <Failure message={failure} />
            {found && data && (
                <>
                    <dl class="figures">
                        <Figure title="Decisions" value={found.rows.length.toLocaleString()} />
                        <Figure title="Decided by people" value={times.length.toLocaleString()} />
                        <Figure title="Time to decide, median" value={time(0.5)} />
                        <Figure title="Time to decide, p95" value={time(0.95)} />
                        <Figure title="Pending now" value={found.stats.pending_approvals.toLocaleString()} />
                    </dl>
                    {found.rows.length >= MOST_ROWS && (
                        <p class="warning">
                            These are the newest {MOST_ROWS.toLocaleString()} decisions: there are more in this time.
                        </p>
                    )}
                    <section class="card">
                        <h2>Decisions by {by}</h2>
                        <Chart
                            data={data}
                            label={`Decisions over the last ${name}, by ${by}. The list has the totals.`}
                            theme={props.theme}
                        />
                    </section>
                    <div class="cards">
                        <section class="card">
                            <h2>Actors who ask most</h2>
                            {found.rows.length === 0 ? (
                                <p class="muted">Nobody asked.</p>
                            ) : (
                                <Bars counts={counted(found.rows.map((row) => row.actor_id)).slice(0, TOP)} />
                            )}
                        </section>
                        <Unused policy={found.policy} stats={found.stats} />
                    </div>
                </>
            )}
        </div>
    );
}
