/** Shows text and values that an agent controls. Nothing of them is markup, and nothing of them is invisible. */
import type { JSX } from "preact";
import { pieces, step } from "./text";
import type { Json, Mask } from "./words";

/** A text. Where `lines` is set, its lines are lines. */
export function Text(props: { text: string; masks?: readonly Mask[]; lines?: boolean }): JSX.Element {
    return (
        <bdi class={props.lines ? "text lines" : "text"} dir="ltr">
            {pieces(props.text, props.masks).map((piece, i) => {
                switch (piece.kind) {
                    case "plain":
                        return piece.text;
                    case "newline":
                        return (
                            <span key={i}>
                                <span class="special" title="line break" aria-label="line break">
                                    ↵
                                </span>
                                {props.lines ? "\n" : null}
                            </span>
                        );
                    case "special":
                        return (
                            <span key={i} class="special" title={`${piece.label}, ${piece.name}`}>
                                {piece.label}
                            </span>
                        );
                    case "masked":
                        return (
                            <span
                                key={i}
                                class="masked"
                                title="The daemon masked this value. Its digest is on the record."
                            >
                                masked{piece.length > 0 ? `, ${piece.length} characters` : ""}
                            </span>
                        );
                }
            })}
        </bdi>
    );
}

/** A JSON value. `pointer` is its place in the action, by which masks are found. */
export function Value(props: { value: Json; pointer: string; masks: readonly Mask[] }): JSX.Element {
    const { value, pointer, masks } = props;
    const own = masks.filter((mask) => mask.pointer === pointer);
    if (typeof value === "string") {
        return (
            <span class="string">
                <span class="quote">"</span>
                <Text text={value} masks={own} lines />
                <span class="quote">"</span>
            </span>
        );
    }
    if (own.length > 0) return <Text text="" masks={own} />;
    if (value === null || typeof value !== "object") return <span class="scalar">{JSON.stringify(value)}</span>;
    const members: [string, Json][] = Array.isArray(value)
        ? value.map((item, i) => [String(i), item])
        : Object.entries(value);
    if (members.length === 0) return <span class="scalar">{Array.isArray(value) ? "[ ]" : "{ }"}</span>;
    return (
        <dl class={Array.isArray(value) ? "members items" : "members"}>
            {members.map(([key, member]) => (
                <div key={key}>
                    <dt>
                        <Text text={key} />
                    </dt>
                    <dd>
                        <Value value={member} pointer={pointer + step(key)} masks={masks} />
                    </dd>
                </div>
            ))}
        </dl>
    );
}
