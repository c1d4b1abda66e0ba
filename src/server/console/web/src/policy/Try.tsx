/** Asks what the policy would decide, and shows every rule and condition that was tried. Nothing is recorded. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { send, why } from "../api";
import { Failure, Field, Risk, State } from "../parts";
import { Text } from "../Text";

interface Condition {
    condition: string;
    result: string;
    seen: string;
    reason: string;
}

interface Evaluation {
    risk_level: string;
    approval: string;
    matched_rule: string;
    explanation: {
        outcome: string;
        reason: string;
        rules: {
            rule: string;
            matched: boolean;
            reason: string;
            file: string;
            line: number;
            conditions: Condition[];
        }[];
        rules_left_out: number;
    };
}

function Explained(props: { found: Evaluation }): JSX.Element {
    const { explanation, risk_level, approval, matched_rule } = props.found;
    return (
        <div role="status">
            <p class="facts">
                <State word={explanation.outcome} /> <Risk level={risk_level} /> <span>approval: {approval}</span>
                <span>
                    rule <code>{matched_rule}</code>
                </span>
            </p>
            {explanation.reason && <Text text={explanation.reason} />}
            <ol class="tried">
                {explanation.rules.map((rule, i) => (
                    <li key={i}>
                        <State word={rule.matched ? "matched" : "not matched"} /> <strong>{rule.rule}</strong>{" "}
                        <span class="muted">
                            {rule.file}:{rule.line}
                        </span>
                        <div>{rule.reason}</div>
                        {rule.conditions.length > 0 && (
                            <ul>
                                {rule.conditions.map((it, j) => (
                                    <li key={j}>
                                        <State word={it.result} /> <code>{it.condition}</code>{" "}
                                        <span class="muted">
                                            saw <Text text={it.seen} /> {it.reason}
                                        </span>
                                    </li>
                                ))}
                            </ul>
                        )}
                    </li>
                ))}
            </ol>
            {explanation.rules_left_out > 0 && <p class="muted">and {explanation.rules_left_out} more rules</p>}
        </div>
    );
}

export function Try(): JSX.Element {
    const [draft, setDraft] = useState({ type: "", target: "", params: "{}", actor: "" });
    const [found, setFound] = useState<Evaluation | null>(null);
    const [failure, setFailure] = useState<string | null>(null);
    const set = (name: keyof typeof draft) => (event: { currentTarget: HTMLInputElement | HTMLTextAreaElement }) =>
        setDraft({ ...draft, [name]: event.currentTarget.value });
    const submit = async (event: Event): Promise<void> => {
        event.preventDefault();
        try {
            // The daemon reads the parameters, as it reads those of an agent. They are sent as they were written, because
            // a number may lose digits here.
            const rest = {
                action_type: draft.type,
                target: draft.target,
                actor: { id: draft.actor || "console" },
                explain: true,
            };
            JSON.parse(draft.params);
            const body = `${JSON.stringify(rest).slice(0, -1)},"params":${draft.params}}`;
            setFound(await evaluate(body));
            setFailure(null);
        } catch (error) {
            setFound(null);
            setFailure(error instanceof SyntaxError ? `Parameters: ${error.message}` : why(error));
        }
    };
    return (
        <section class="card">
            <h2>Try an action</h2>
            <form onSubmit={(event) => void submit(event)}>
                <div class="form">
                    <Field label="Type">
                        <input required value={draft.type} placeholder="bulk_update" onInput={set("type")} />
                    </Field>
                    <Field label="Target">
                        <input value={draft.target} placeholder="crm" onInput={set("target")} />
                    </Field>
                    <Field label="Actor">
                        <input value={draft.actor} placeholder="console" onInput={set("actor")} />
                    </Field>
                </div>
                <Field label="Parameters (JSON)">
                    <textarea rows={4} spellcheck={false} value={draft.params} onInput={set("params")} />
                </Field>
                <div class="buttons">
                    <button type="submit" class="primary">
                        Try
                    </button>
                </div>
            </form>
            <Failure message={failure} />
            {found && <Explained found={found} />}
        </section>
    );
}

function evaluate(body: string): Promise<Evaluation> {
    return send<Evaluation>("POST", "/api/v1/evaluate", body);
}
