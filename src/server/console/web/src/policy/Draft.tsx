/** A draft of a new policy: checked by the daemon, with every finding at its line, and put in force by an admin. */
import type { JSX } from "preact";
import { useRef, useState } from "preact/hooks";
import { Problem, send, why, type Finding } from "../api";
import { Failure, Field } from "../parts";
import { may } from "../session";
import type { Policy } from "../words";
import { Diff, source } from "./Diff";
import * as state from "./state";

interface Checked {
    text: string;
    valid: boolean;
    errors: Finding[];
    warnings: Finding[];
}

function Findings(props: { findings: Finding[]; tone: string; go: (finding: Finding) => void }): JSX.Element {
    return (
        <ul class="findings">
            {props.findings.map((finding, i) => (
                <li key={i} class={props.tone}>
                    <button type="button" class="link" onClick={() => props.go(finding)}>
                        line {finding.line}:{finding.column}
                    </button>{" "}
                    {finding.path && <code>{finding.path}</code>} {finding.message}{" "}
                    <span class="muted">{finding.code}</span>
                </li>
            ))}
        </ul>
    );
}

export function Draft(props: { policy: Policy }): JSX.Element {
    const { policy } = props;
    // The text and the revision that it began from: a change of somebody else in between is refused by the daemon.
    const [base, setBase] = useState(policy);
    const [text, setText] = useState(source(policy));
    const [comment, setComment] = useState("");
    const [checked, setChecked] = useState<Checked | null>(null);
    const [message, setMessage] = useState<string | null>(null);
    const [failure, setFailure] = useState<string | null>(null);
    const area = useRef<HTMLTextAreaElement>(null);

    const go = ({ line, column }: Finding): void => {
        const start =
            text
                .split("\n")
                .slice(0, line - 1)
                .reduce((sum, it) => sum + it.length + 1, 0) + Math.max(0, column - 1);
        const end = text.indexOf("\n", start);
        area.current?.focus();
        area.current?.setSelectionRange(start, end < 0 ? text.length : end);
        if (area.current) area.current.scrollTop = (line - 4) * parseFloat(getComputedStyle(area.current).lineHeight);
    };
    const check = async (event: Event): Promise<void> => {
        event.preventDefault();
        setMessage(null);
        try {
            setChecked({
                ...(await send<Omit<Checked, "text">>("POST", "/api/v1/policy/validate", { yaml: text })),
                text,
            });
            setFailure(null);
        } catch (error) {
            setChecked(null);
            setFailure(why(error));
        }
    };
    const change = async (): Promise<void> => {
        try {
            const body = { yaml: text, expected_revision: base.revision, comment };
            const { revision } = await send<{ revision: string }>("PUT", "/api/v1/policy", body);
            await state.read();
            if (state.policy.value) setBase(state.policy.value);
            state.history.value = null;
            [setChecked, setFailure].forEach((set) => set(null));
            setMessage(`Revision ${revision.slice(0, 12)} is in force.`);
        } catch (error) {
            if (error instanceof Problem && error.findings.length > 0) {
                setChecked({ text, valid: false, errors: error.findings, warnings: [] });
            }
            setFailure(why(error));
        }
    };
    const isChecked = checked?.text === text && checked.valid;
    const isChanged = text !== source(base);
    const reset = (): void => {
        setBase(policy);
        setText(source(policy));
        setChecked(null);
    };
    return (
        <section class="card">
            <h2>Draft</h2>
            {base.revision !== policy.revision && (
                <p class="warning">
                    Another revision came into force since this draft began.{" "}
                    <button type="button" class="link" onClick={reset}>
                        Begin again
                    </button>
                </p>
            )}
            {policy.layers.length > 1 && (
                <p class="note">The policy has several files. A change from here is possible only where it has one.</p>
            )}
            <form onSubmit={(event) => void check(event)}>
                <Field label="Policy (YAML)">
                    <textarea
                        ref={area}
                        rows={16}
                        spellcheck={false}
                        wrap="off"
                        value={text}
                        onInput={(event) => setText(event.currentTarget.value)}
                    />
                </Field>
                {may.value.changePolicy && (
                    <Field label="Comment (goes on the record)">
                        <input
                            value={comment}
                            maxLength={1024}
                            onInput={(event) => setComment(event.currentTarget.value)}
                        />
                    </Field>
                )}
                <div class="buttons">
                    {isChanged && (
                        <button type="button" onClick={reset}>
                            Discard
                        </button>
                    )}
                    <button type="submit" class="primary">
                        Check
                    </button>
                    {may.value.changePolicy && (
                        <button
                            type="button"
                            class="approve"
                            disabled={!isChecked || !isChanged}
                            onClick={() => void change()}
                        >
                            Put in force
                        </button>
                    )}
                </div>
            </form>
            <Failure message={failure} />
            <div role="status">
                {message && <p class="good">{message}</p>}
                {checked && (
                    <p>{checked.valid ? "The draft is valid." : `The draft has ${checked.errors.length} errors.`}</p>
                )}
            </div>
            {checked && <Findings findings={checked.errors} tone="error" go={go} />}
            {checked && <Findings findings={checked.warnings} tone="warning" go={go} />}
            {isChecked && isChanged && (
                <>
                    <h3>What would change</h3>
                    <Diff before={source(base)} after={text} />
                </>
            )}
        </section>
    );
}
