/** The difference of two texts, by lines: what a person changes in a policy. */

export interface Change {
    kind: "same" | "old" | "new";
    text: string;
}

/** Beyond this many pairs of lines, the middle counts as replaced: a browser must not stall. */
const MOST_PAIRS = 4_000_000;

export function diff(before: string, after: string): Change[] {
    const [a, b] = [before.split("\n"), after.split("\n")];
    let first = 0;
    while (first < a.length && first < b.length && a[first] === b[first]) first++;
    let last = 0;
    while (last < a.length - first && last < b.length - first && a[a.length - 1 - last] === b[b.length - 1 - last])
        last++;
    const same = (text: string): Change => ({ kind: "same", text });
    const middle = between(a.slice(first, a.length - last), b.slice(first, b.length - last));
    return [...a.slice(0, first).map(same), ...middle, ...a.slice(a.length - last).map(same)];
}

/** By the longest common subsequence. */
function between(a: readonly string[], b: readonly string[]): Change[] {
    const changes: Change[] = [];
    const push = (kind: Change["kind"], text: string | undefined): void =>
        void changes.push({ kind, text: text ?? "" });
    if (a.length * b.length > MOST_PAIRS) {
        a.forEach((text) => push("old", text));
        b.forEach((text) => push("new", text));
        return changes;
    }
    const width = b.length + 1;
    const common = new Uint32Array((a.length + 1) * width);
    const at = (i: number, j: number): number => common[i * width + j] ?? 0;
    for (let i = a.length - 1; i >= 0; i--) {
        for (let j = b.length - 1; j >= 0; j--) {
            common[i * width + j] = a[i] === b[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
        }
    }
    let [i, j] = [0, 0];
    while (i < a.length || j < b.length) {
        if (i < a.length && j < b.length && a[i] === b[j]) {
            push("same", a[i++]);
            j++;
        } else if (j >= b.length || (i < a.length && at(i + 1, j) >= at(i, j + 1))) {
            push("old", a[i++]);
        } else {
            push("new", b[j++]);
        }
    }
    return changes;
}

/** The changes with so many lines around each; a gap is an empty list. */
export function excerpt(changes: readonly Change[], around: number): Change[][] {
    const near = changes.map((_, i) =>
        changes.slice(Math.max(0, i - around), i + around + 1).some(({ kind }) => kind !== "same"),
    );
    const parts: Change[][] = [];
    changes.forEach((change, i) => {
        if (!near[i]) return;
        if (i === 0 || !near[i - 1]) parts.push([]);
        parts.at(-1)?.push(change);
    });
    return parts;
}
