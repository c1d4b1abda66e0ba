/**
 * Asks for a reason and sends the answer. One question was read on the page; several are shown here, each in full, and
 * can be answered only when the last line of each has been on the screen.
 */
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Dialog, Failure, Field, Risk } from "../parts";
import { Text } from "../Text";
import type { Approval } from "../words";
import { Action } from "./Action";
import { find, chosen } from "./state";
import { vote, type Verdict } from "./vote";

/** Marks the end of a question, and tells when it was on the screen. */
function End(props: { seen: () => void }): JSX.Element {
    const end = useRef<HTMLDivElement>(null);
    useEffect(() => {
        const observer = new IntersectionObserver((entries) => entries.some((it) => it.isIntersecting) && props.seen());
        if (end.current) observer.observe(end.current);
        return () => observer.disconnect();
    }, []);
    return <div ref={end} class="end" />;
}

export function VoteDialog(props: {
    questions: readonly Approval[];
    verdict: Verdict;
    close: () => void;
}): JSX.Element {
    const { verdict, close } = props;
    // What the dialog opened with is what is answered. What ends meanwhile is shown as ended, and is not sent.
    const [questions] = useState(props.questions);
    const [seen, setSeen] = useState<ReadonlySet<string>>(new Set());
    const [reason, setReason] = useState("");
    const [failures, setFailures] = useState<string[]>([]);
    const [isSending, setSending] = useState(false);
    const isOne = questions.length === 1;
    const now = questions.map((question) => find(question.approval_id) ?? question);
    const left = questions.filter((_, i) => now[i]?.ending === null);
    const isRead = isOne || left.every(({ approval_id }) => seen.has(approval_id));
    const word = verdict === "approve" ? "Approve" : "Deny";

    const submit = async (event: Event): Promise<void> => {
        event.preventDefault();
        if (!isRead || isSending || left.length === 0) return;
        setSending(true);
        const failed: string[] = [];
        for (const question of left) {
            const failure = await vote(question, verdict, reason);
            if (failure !== null)
                failed.push(isOne ? failure : `${question.action.type} on ${question.action.target}: ${failure}`);
        }
        setSending(false);
        setFailures(failed);
        if (!isOne) chosen.value = new Set();
        if (failed.length === 0) close();
    };

    return (
        <Dialog title={isOne ? `${word} this action?` : `${word} ${left.length} actions?`} close={close} wide={!isOne}>
            <form onSubmit={(event) => void submit(event)}>
                {isOne ? (
                    now.map((question) => (
                        <p key={question.approval_id} class="summary">
                            <Risk level={question.risk_level} /> <Text text={question.action.type} />{" "}
                            <span class="muted">on</span> <Text text={question.action.target} />
                            {question.ending !== null && (
                                <strong> (it has ended: {question.ending.kind.toLowerCase()})</strong>
                            )}
                        </p>
                    ))
                ) : (
                    <div class="several" tabIndex={0} role="group" aria-label="The actions, each in full">
                        {now.map((question) => (
                            <section key={question.approval_id}>
                                <Action question={question} />
                                <End seen={() => setSeen((ids) => new Set(ids).add(question.approval_id))} />
                            </section>
                        ))}
                    </div>
                )}
                <Field label="Reason (optional, goes on the record)">
                    <input
                        value={reason}
                        onInput={(event) => setReason(event.currentTarget.value)}
                        maxLength={1024}
                        autofocus
                    />
                </Field>
                {failures.map((failure) => (
                    <Failure key={failure} message={failure} />
                ))}
                {!isRead && <p class="note">Scroll to the end: each action must have been shown in full.</p>}
                <div class="buttons">
                    <button type="button" onClick={close}>
                        Cancel
                    </button>
                    <button type="submit" class={verdict} disabled={!isRead || isSending || left.length === 0}>
                        {isOne ? word : `${word} all ${left.length}`}
                    </button>
                </div>
            </form>
        </Dialog>
    );
}
