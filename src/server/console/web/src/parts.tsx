/** Small parts that the pages share. */
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { ago, duration, local, now } from "./time";

export function Risk(props: { level: string }): JSX.Element {
    return <span class={`risk ${props.level.toLowerCase()}`}>{props.level.toLowerCase()}</span>;
}

const GOOD = ["ALLOW", "APPROVED", "SUCCESS", "APPROVE", "PROVED", "HOLDS", "MATCHED"];
const BAD = ["DENY", "DENIED", "BLOCKED", "FAILED", "BLOCK", "NOT IN THE LOG"];

const PLAIN = ["NOT MATCHED", "FAILS", "SKIPPED", "CANCELLED"];

/** An outcome, a state or a result. */
export function State(props: { word: string }): JSX.Element {
    const word = props.word.toUpperCase();
    const tone = GOOD.includes(word) ? "good" : BAD.includes(word) ? "bad" : PLAIN.includes(word) ? "" : "open";
    return <span class={`state ${tone}`}>{props.word.toLowerCase().replaceAll("_", " ")}</span>;
}

export function Moment(props: { at: string; ago?: boolean }): JSX.Element {
    return (
        <time dateTime={props.at} title={props.at}>
            {props.ago ? ago(props.at) : local(props.at)}
        </time>
    );
}

/** The time that is left. */
export function Countdown(props: { until: string }): JSX.Element {
    const left = Date.parse(props.until) - now.value;
    const tone = left < 30_000 ? "urgent" : left < 120_000 ? "soon" : "";
    return <span class={`countdown ${tone}`}>{left <= 0 ? "time is up" : duration(left)}</span>;
}

export function Failure(props: { message: string | null }): JSX.Element | null {
    return props.message === null ? null : (
        <p class="failure" role="alert">
            {props.message}
        </p>
    );
}

/** A field with its label. */
export function Field(props: { label: string; children: ComponentChildren }): JSX.Element {
    return (
        <label class="field">
            <span>{props.label}</span>
            {props.children}
        </label>
    );
}

/** A modal dialog. The browser keeps the focus in it and gives it back. */
export function Dialog(props: {
    title: string;
    close: () => void;
    children: ComponentChildren;
    wide?: boolean;
}): JSX.Element {
    const dialog = useRef<HTMLDialogElement>(null);
    useEffect(() => {
        const shown = dialog.current;
        shown?.showModal();
        return () => shown?.close();
    }, []);
    return (
        <dialog ref={dialog} class={props.wide ? "wide" : ""} aria-labelledby="dialog-title" onCancel={props.close}>
            <h2 id="dialog-title">{props.title}</h2>
            {props.children}
        </dialog>
    );
}
