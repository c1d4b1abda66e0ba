/** The whole life of one decision, with its proof and its export. */
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { get, request, why } from "../api";
import { Failure, Moment, Risk, State } from "../parts";
import { EndingBanner } from "../queue/Action";
import { Text, Value } from "../Text";
import type { Life, RecordReference, Row } from "../words";
import { prove, type Proof } from "./proof";

/** Gives the person a file. */
function save(name: string, blob: Blob): void {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function What(props: { row: Row }): JSX.Element {
    const { row } = props;
    return (
        <>
            <h2 class="what">
                <Text text={row.action_type} /> <span class="muted">on</span>{" "}
                {row.action_target === "" ? <span class="muted">no target</span> : <Text text={row.action_target} />}
            </h2>
            <p class="facts">
                <Risk level={row.risk_level} />
                <State word={row.outcome} />
                {row.result_status && <State word={row.result_status} />}
            </p>
            {row.redacted && <p class="note">The content of this decision was redacted.</p>}
            <h3>Parameters</h3>
            <Value value={row.action_params} pointer="/params" masks={row.masked} />
            {row.action_desc !== "" && (
                <>
                    <h3>
                        Description <span class="muted">(the agent's words)</span>
                    </h3>
                    <Text
                        text={row.action_desc}
                        masks={row.masked.filter((it) => it.pointer === "/description")}
                        lines
                    />
                </>
            )}
            {Object.keys(row.metadata).length > 0 && (
                <>
                    <h3>Metadata</h3>
                    <Value value={row.metadata} pointer="/metadata" masks={row.masked} />
                </>
            )}
            {(row.result_data !== null || row.result_error !== null) && (
                <>
                    <h3>
                        Result <span class="muted">(as the agent reported it)</span>
                    </h3>
                    {row.result_error !== null && <Text text={row.result_error} lines />}
                    {row.result_data !== null && <Value value={row.result_data} pointer="/data" masks={row.masked} />}
                </>
            )}
        </>
    );
}

function Why(props: { row: Row }): JSX.Element {
    const { row } = props;
    const facts: [string, JSX.Element | string | null][] = [
        ["Decided", <Moment at={row.timestamp} />],
        ["Rule", <Text text={row.matched_rule} />],
        ["Reason", row.reason === "" ? null : <Text text={row.reason} />],
        ["Approval", row.approval],
        ["Actor", <Text text={`${row.actor_id} (${row.actor_type})`} />],
        [
            "Authenticated",
            <Text text={row.identity === null ? "redacted" : `${row.identity} (${row.identity_how ?? ""})`} />,
        ],
        ["Session", row.session_id === "" ? null : <Text text={row.session_id} />],
        ["Decision", <code class="hash">{row.decision_id}</code>],
        ["Policy", row.policy_revision && <code class="hash">{row.policy_revision}</code>],
        ["Digest", row.action_digest && <code class="hash">{row.action_digest}</code>],
    ];
    return (
        <dl class="pairs">
            {facts.map(([name, fact]) =>
                fact === null ? null : (
                    <>
                        <dt key={name}>{name}</dt>
                        <dd>{fact}</dd>
                    </>
                ),
            )}
        </dl>
    );
}

function Records(props: { decision: string; records: readonly RecordReference[] }): JSX.Element {
    const { decision, records } = props;
    const [proof, setProof] = useState<Proof | null>(null);
    const [failure, setFailure] = useState<string | null>(null);
    const attempt = async (action: () => Promise<void>): Promise<void> => {
        try {
            setFailure(null);
            await action();
        } catch (error) {
            setFailure(why(error));
        }
    };
    const check = async (): Promise<void> => setProof(await prove(records.map(({ sequence }) => sequence)));
    const exported = async (): Promise<void> => {
        const answer = await request(`/api/v1/audit/records?decision_id=${encodeURIComponent(decision)}`);
        save(`${decision}.jsonl`, await answer.blob());
    };
    return (
        <section class="card">
            <h2>Records</h2>
            <div class="scroll" tabIndex={0} role="group" aria-label="The records">
                <table class="stack">
                    <thead>
                        <tr>
                            <th>Number</th>
                            <th>What</th>
                            <th>Time</th>
                            <th>Proof</th>
                        </tr>
                    </thead>
                    <tbody>
                        {records.map(({ sequence, kind, recorded_at }) => (
                            <tr key={sequence}>
                                <td data-label="Number">{sequence}</td>
                                <td data-label="What">{kind?.replaceAll("_", " ") ?? "redacted"}</td>
                                <td data-label="Time">{recorded_at && <Moment at={recorded_at} />}</td>
                                <td data-label="Proof">
                                    {proof?.proved.includes(sequence) && <State word="proved" />}
                                    {proof?.wrong.includes(sequence) && <State word="not in the log" />}
                                </td>
                            </tr>
                        ))}
                    </tbody>
                </table>
            </div>
            {proof && proof.wrong.length === 0 && (
                <p class="note" role="status">
                    This browser checked that the records are in the log of {proof.checkpoint.tree_size} records with
                    the root <code class="hash">{proof.checkpoint.root_hash}</code>. Compare the root with a checkpoint
                    that reached you another way.
                </p>
            )}
            {proof && proof.wrong.length > 0 && (
                <Failure message="Some records are not in the log that the daemon signed." />
            )}
            <Failure message={failure} />
            <div class="buttons">
                <button type="button" onClick={() => void attempt(check)}>
                    Prove
                </button>
                <button type="button" onClick={() => void attempt(exported)}>
                    Export
                </button>
                {proof && (
                    <button
                        type="button"
                        onClick={() =>
                            save("checkpoint.txt", new Blob([proof.checkpoint.checkpoint], { type: "text/plain" }))
                        }
                    >
                        Save the checkpoint
                    </button>
                )}
            </div>
        </section>
    );
}

export function DecisionPage(props: { id: string }): JSX.Element {
    const { id } = props;
    const [life, setLife] = useState<Life | null>(null);
    const [failure, setFailure] = useState<string | null>(null);
    useEffect(() => {
        const abort = new AbortController();
        const read = async (): Promise<void> => {
            try {
                setLife(await get<Life>(`/api/v1/audit/decisions/${encodeURIComponent(id)}`, abort.signal));
                setFailure(null);
            } catch (error) {
                if (!abort.signal.aborted) setFailure(why(error));
            }
        };
        void read();
        const timer = setInterval(() => !document.hidden && void read(), 3000);
        return () => {
            clearInterval(timer);
            abort.abort();
        };
    }, [id]);
    return (
        <div class="page">
            <p>
                <a href="#/audit">‹ Audit</a>
            </p>
            <h1>Decision</h1>
            <Failure message={failure} />
            {life && (
                <>
                    {life.approval && <EndingBanner question={life.approval} />}
                    <div class="cards">
                        <section class="card">
                            <What row={life.row} />
                        </section>
                        <section class="card">
                            <h2>Why</h2>
                            <Why row={life.row} />
                            {life.approval?.votes.map((vote) => (
                                <p key={vote.vote_id}>
                                    <State word={vote.verdict} /> by <Text text={vote.by.subject} />,{" "}
                                    <Moment at={vote.voted_at} />
                                    {vote.reason && (
                                        <>
                                            : <Text text={vote.reason} />
                                        </>
                                    )}
                                </p>
                            ))}
                        </section>
                    </div>
                    <br />
                    <Records decision={life.row.decision_id} records={life.records} />
                </>
            )}
        </div>
    );
}
