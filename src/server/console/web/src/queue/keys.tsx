/** The keys of the queue. */
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { Dialog } from "../parts";

const KEYS: readonly (readonly [string, string])[] = [
    ["j, ↓", "open the next question"],
    ["k, ↑", "open the previous question"],
    ["a", "approve the open question, or the chosen ones; asks first"],
    ["d", "deny the open question, or the chosen ones; asks first"],
    ["x", "choose the open question, to answer several together"],
    ["/", "filter"],
    ["Esc", "choose none, then close the open question"],
    ["?", "show this help"],
];

/** Calls what belongs to a key, unless the person is typing or answering a dialog. */
export function useKeys(keys: Record<string, () => unknown>): void {
    useEffect(() => {
        const onKey = (event: KeyboardEvent): void => {
            const { target } = event;
            if (
                event.ctrlKey ||
                event.metaKey ||
                event.altKey ||
                (event.repeat && (event.key === "a" || event.key === "d"))
            )
                return;
            if (document.querySelector("dialog[open]")) return;
            const isTyping =
                target instanceof HTMLElement && target.matches("input:not([type=checkbox]), select, textarea");
            if (isTyping) {
                if (event.key === "Escape") target.blur();
                return;
            }
            const action = keys[event.key];
            if (!action) return;
            event.preventDefault();
            action();
        };
        document.addEventListener("keydown", onKey);
        return () => document.removeEventListener("keydown", onKey);
    }, []);
}

export function Help(props: { close: () => void }): JSX.Element {
    return (
        <Dialog title="Keys" close={props.close}>
            <dl class="pairs">
                {KEYS.map(([key, what]) => (
                    <>
                        <dt key={key}>
                            <kbd>{key}</kbd>
                        </dt>
                        <dd>{what}</dd>
                    </>
                ))}
            </dl>
            <div class="buttons">
                <button type="button" onClick={props.close}>
                    Close
                </button>
            </div>
        </Dialog>
    );
}
