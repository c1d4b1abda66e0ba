/** The policy: in force, earlier, tried and drafted. */
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { why } from "../api";
import { Failure, Moment } from "../parts";
import { may } from "../session";
import { Text } from "../Text";
import { Diff, source } from "./Diff";
import { Draft } from "./Draft";
import { InForce } from "./InForce";
import * as state from "./state";
import { Try } from "./Try";

/** What a revision changed, compared with the one before it. */
function Changed(props: { after: string; before: string | undefined }): JSX.Element {
    const { after, before } = props;
    const [texts, setTexts] = useState<[string, string] | null>(null);
    const [failure, setFailure] = useState<string | null>(null);
    useEffect(() => {
        const text = async (digest: string | undefined): Promise<string> =>
            digest === undefined ? "" : source(await state.revision(digest));
        Promise.all([text(before), text(after)]).then(setTexts, (error: unknown) => setFailure(why(error)));
    }, [after, before]);
    return (
        <>
            <Failure message={failure} />
            {texts && <Diff before={texts[0]} after={texts[1]} />}
        </>
    );
}

function History(): JSX.Element {
    const events = state.history.value;
    const [openAt, setOpenAt] = useState<number | null>(null);
    const loaded = events?.filter(({ revision }) => revision !== null) ?? [];
    return (
        <section class="card">
            <h2>History</h2>
            {events === null ? (
                <button type="button" onClick={() => void state.readHistory()}>
                    Read it from the newest {state.SEARCHED.toLocaleString()} records
                </button>
            ) : (
                <ul class="history">
                    {events.length === 0 && (
                        <li class="muted">
                            None of the newest {state.SEARCHED.toLocaleString()} records changed the policy.
                        </li>
                    )}
                    {events.map((event) => {
                        const before = loaded[loaded.indexOf(event) + 1]?.revision ?? undefined;
                        const isOpen = openAt === event.sequence;
                        return (
                            <li key={event.sequence}>
                                <Moment at={event.time} />{" "}
                                {event.revision === null ? (
                                    <>
                                        a policy was refused: <Text text={event.errors.join("; ")} />
                                    </>
                                ) : (
                                    <>
                                        <button
                                            type="button"
                                            class="link"
                                            aria-expanded={isOpen}
                                            onClick={() => setOpenAt(isOpen ? null : event.sequence)}
                                        >
                                            {event.revision.slice(0, 12)}
                                        </button>{" "}
                                        by {event.by === "" ? "the files of the daemon" : <Text text={event.by} />}
                                        {event.comment && (
                                            <>
                                                : <Text text={event.comment} />
                                            </>
                                        )}
                                        {isOpen && <Changed after={event.revision} before={before} />}
                                    </>
                                )}
                            </li>
                        );
                    })}
                </ul>
            )}
        </section>
    );
}

export function PolicyPage(): JSX.Element {
    useEffect(() => {
        void state.read();
        const timer = setInterval(() => !document.hidden && void state.read(), 10_000);
        return () => clearInterval(timer);
    }, []);
    const policy = state.policy.value;
    return (
        <div class="page">
            <h1>Policy</h1>
            <Failure message={state.failure.value} />
            {policy && (
                <>
                    <InForce policy={policy} />
                    <div class="cards">
                        <Try />
                        <Draft policy={policy} />
                    </div>
                    <br />
                    {may.value.audit && <History />}
                </>
            )}
        </div>
    );
}
