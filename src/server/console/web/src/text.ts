/** Text that an agent controls, in pieces: what can be shown as it is, and what would be invisible or misleading. */
import type { Mask } from "./words";

export type Piece =
    | { kind: "plain"; text: string }
    | { kind: "newline" }
    | { kind: "special"; label: string; name: string }
    | { kind: "masked"; length: number };

/** Characters that a reader cannot see, or that change how others are shown. */
const SPECIAL =
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}\p{Cn}\u00a0\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2000-\u200a\u202f\u205f\u2800\u3000\u3164\ufe00-\ufe0f\uffa0\u{e0100}-\u{e01ef}]/u;

const NAMES = new Map([
    [0x09, "tab"],
    [0x0d, "carriage return"],
    [0x1b, "escape"],
    [0xa0, "no-break space"],
    [0xad, "soft hyphen"],
    [0x200b, "zero width space"],
    [0x200c, "zero width non-joiner"],
    [0x200d, "zero width joiner"],
    [0x200e, "left-to-right mark"],
    [0x200f, "right-to-left mark"],
    [0x202a, "left-to-right embedding"],
    [0x202b, "right-to-left embedding"],
    [0x202c, "pop directional formatting"],
    [0x202d, "left-to-right override"],
    [0x202e, "right-to-left override"],
    [0x2066, "left-to-right isolate"],
    [0x2067, "right-to-left isolate"],
    [0x2068, "first strong isolate"],
    [0x2069, "pop directional isolate"],
    [0xfeff, "byte order mark"],
]);

function special(character: string): Piece {
    const code = character.codePointAt(0) ?? 0;
    const label = `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
    return { kind: "special", label, name: NAMES.get(code) ?? "a character that cannot be seen" };
}

/** The pieces of a text. Masks are the daemon's: no text can be taken for one. */
export function pieces(text: string, masks: readonly Mask[] = []): Piece[] {
    if (masks.some((mask) => mask.start === null)) {
        return [{ kind: "masked", length: masks.find((mask) => mask.start === null)?.length ?? 0 }];
    }
    const found: Piece[] = [];
    let plain = "";
    const flush = (): void => {
        if (plain !== "") found.push({ kind: "plain", text: plain });
        plain = "";
    };
    // The daemon counts characters, as this iteration does.
    const characters = Array.from(text);
    for (let i = 0; i < characters.length; i++) {
        const mask = masks.find(({ start }) => start === i);
        const character = characters[i] as string;
        if (mask && mask.end !== null && mask.end > i) {
            flush();
            found.push({ kind: "masked", length: mask.length });
            i = mask.end - 1;
        } else if (character === "\n") {
            flush();
            found.push({ kind: "newline" });
        } else if (SPECIAL.test(character)) {
            flush();
            found.push(special(character));
        } else {
            plain += character;
        }
    }
    flush();
    return found;
}

/** A key as a step of a JSON pointer (RFC 6901). */
export function step(key: string): string {
    return `/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`;
}
