/** Shows the difference of two policies. */
import type { JSX } from "preact";
import { Text } from "../Text";
import type { Policy } from "../words";
import { diff, excerpt } from "./diff";

const SIGNS = { same: " ", old: "-", new: "+" } as const;
const MEANING = { same: "", old: "removed: ", new: "added: " } as const;

/** The source of a policy; of one with several files, what they are together (JSON is YAML). */
export function source(policy: Policy): string {
    const [layer, ...others] = policy.layers;
    return layer && others.length === 0 ? layer.yaml : JSON.stringify(policy.policy, null, 2);
}

export function Diff(props: { before: string; after: string }): JSX.Element {
    const parts = excerpt(diff(props.before, props.after), 3);
    if (parts.length === 0) return <p class="muted">The texts are the same.</p>;
    return (
        <>
            {parts.map((part, i) => (
                <pre key={i} class="diff">
                    {part.map(({ kind, text }, j) => (
                        <div key={j} class={kind}>
                            <span aria-hidden="true">{SIGNS[kind]} </span>
                            {MEANING[kind] && <span class="hidden">{MEANING[kind]}</span>}
                            <Text text={text} />
                        </div>
                    ))}
                </pre>
            ))}
        </>
    );
}
