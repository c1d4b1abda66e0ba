/** Checks in the browser that a record is in the log (RFC 6962, section 2.1.1). */
import { get } from "../api";

interface Checkpoint {
    checkpoint: string;
    origin: string;
    tree_size: number;
    root_hash: string;
}

interface Inclusion {
    leaf_index: number;
    tree_size: number;
    leaf_hash: string;
    hashes: string[];
}

export interface Proof {
    checkpoint: Checkpoint;
    /** The sequence numbers of the records that the root covers. */
    proved: number[];
    /** Those that it does not. */
    wrong: number[];
}

function bytes(hex: string): Uint8Array<ArrayBuffer> {
    return Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

function hex(hash: ArrayBuffer): string {
    return Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function node(left: string, right: string): Promise<string> {
    return hex(await crypto.subtle.digest("SHA-256", new Uint8Array([1, ...bytes(left), ...bytes(right)])));
}

/** The root that a leaf and its path lead to, or null if the path has the wrong length. */
export async function rootOf({ leaf_index, tree_size, leaf_hash, hashes }: Inclusion): Promise<string | null> {
    let [index, last, hash] = [leaf_index, tree_size - 1, leaf_hash];
    for (const sibling of hashes) {
        if (last === 0) return null;
        if (index % 2 === 1 || index === last) {
            hash = await node(sibling, hash);
            while (index % 2 === 0 && index !== 0) [index, last] = [Math.floor(index / 2), Math.floor(last / 2)];
        } else {
            hash = await node(hash, sibling);
        }
        [index, last] = [Math.floor(index / 2), Math.floor(last / 2)];
    }
    return last === 0 ? hash : null;
}

/** Proves that these records are in the log as it is now. */
export async function prove(sequences: readonly number[]): Promise<Proof> {
    const checkpoint = await get<Checkpoint>("/api/v1/log/checkpoint");
    const [proved, wrong]: [number[], number[]] = [[], []];
    for (const sequence of sequences) {
        const query = `sequence=${sequence}&tree_size=${checkpoint.tree_size}`;
        const inclusion = await get<Inclusion>(`/api/v1/log/inclusion-proof?${query}`);
        const asked = { ...inclusion, leaf_index: sequence - 1, tree_size: checkpoint.tree_size };
        ((await rootOf(asked)) === checkpoint.root_hash ? proved : wrong).push(sequence);
    }
    return { checkpoint, proved, wrong };
}
