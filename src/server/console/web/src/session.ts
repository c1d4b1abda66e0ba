/** Who is signed in, and what they may do. */
import { computed, signal } from "@preact/signals";
import { get, refused, send, useToken } from "./api";

export type Role = "agent" | "reviewer" | "auditor" | "admin";

export interface Caller {
    subject: string;
    how: string;
    roles: Role[];
    expires_at: string | null;
}

/** The person, or null before they signed in. */
export const caller = signal<Caller | null>(null);
/** Whether it is known yet if the person must sign in. */
export const isKnown = signal(false);

export const may = computed(() => {
    const roles = caller.value?.roles ?? [];
    return {
        review: roles.includes("reviewer"),
        audit: roles.includes("auditor"),
        readPolicy: roles.includes("auditor") || roles.includes("admin"),
        changePolicy: roles.includes("admin"),
    };
});

async function enter(): Promise<void> {
    const found = await get<Caller>("/api/v1/identity");
    if (!found.roles.some((role) => role !== "agent")) {
        throw new Error(`${found.subject} is an agent, and the console is for reviewers, auditors and admins`);
    }
    caller.value = found;
}

/** Signs in with a token. */
export async function signIn(token: string): Promise<void> {
    if (!/^[!-~]+$/.test(token.trim())) throw new Error("a token is one word of letters, digits and signs");
    useToken(token.trim());
    try {
        await enter();
    } catch (error) {
        useToken(null);
        throw error;
    }
}

export function signOut(): void {
    useToken(null);
    caller.value = null;
}

refused.subscribe((message) => {
    // What the sign-in page says of it stays.
    if (message !== null) caller.value = null;
});

/** The code of `aegis console`, in the fragment: no server sees it. It leaves the address before it is used. */
function codeOfAddress(): string | null {
    const code = new URLSearchParams(location.hash.slice(1)).get("code");
    if (code !== null) history.replaceState(null, "", location.pathname);
    return code;
}

/** Signs in with the code of the address, or without a credential where that is enough: a certificate, or `--dev`. */
export async function start(): Promise<string | null> {
    const code = codeOfAddress();
    try {
        if (code !== null) {
            const { token } = await send<{ token: string }>("POST", "/api/v1/sign-in-codes/exchange", { code });
            await signIn(token);
        } else {
            await enter();
        }
        return null;
    } catch (error) {
        refused.value = null;
        return code === null ? null : error instanceof Error ? error.message : String(error);
    } finally {
        isKnown.value = true;
    }
}
