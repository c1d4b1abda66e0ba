/** Server-sent events over `fetch`, because `EventSource` cannot send a credential in a header. */
import { Problem, request } from "./api";

export interface ServerEvent {
    name: string;
    data: string;
}

/** The daemon sends something every 15 seconds. */
const SILENCE = 40_000;
const LONGEST_PAUSE = 5_000;

/** The events of a text, and what is left of it. */
export class EventReader {
    #rest = "";
    lastId: string | null = null;

    read(text: string): ServerEvent[] {
        const blocks = (this.#rest + text).split(/\r?\n\r?\n/);
        this.#rest = blocks.pop() ?? "";
        return blocks.flatMap((block) => this.#event(block));
    }

    /** A connection that broke off leaves half an event. */
    reset(): void {
        this.#rest = "";
    }

    #event(block: string): ServerEvent[] {
        let name = "message";
        const data: string[] = [];
        for (const line of block.split(/\r?\n/)) {
            const [, field, value] = /^([^:]*):? ?(.*)$/.exec(line) ?? [];
            if (field === "event") name = value ?? "";
            else if (field === "data") data.push(value ?? "");
            else if (field === "id") this.lastId = value ?? null;
        }
        return data.length === 0 ? [] : [{ name, data: data.join("\n") }];
    }
}

export interface Listener {
    /** A connection begins. */
    opened(): void;
    /** Events that arrived together. */
    events(events: ServerEvent[]): void;
    /** The connection broke off, and another attempt follows. */
    lost(): void;
}

/**
 * Follows a stream until it is aborted. It connects again after every end, and resumes. If the daemon does not accept
 * the person any more, it gives up and says why.
 */
export async function follow(path: string, listener: Listener, abort: AbortSignal): Promise<Problem | null> {
    const reader = new EventReader();
    let pause = 250;
    while (!abort.aborted) {
        try {
            await connect(path, reader, listener, abort, () => (pause = 250));
        } catch (error) {
            if (error instanceof Problem && (error.status === 401 || error.status === 403)) return error;
        }
        if (abort.aborted) break;
        listener.lost();
        await new Promise((resolve) => setTimeout(resolve, pause * (0.75 + Math.random() / 2)));
        pause = Math.min(pause * 2, LONGEST_PAUSE);
    }
    return null;
}

async function connect(
    path: string,
    reader: EventReader,
    listener: Listener,
    abort: AbortSignal,
    worked: () => void,
): Promise<void> {
    const silence = new AbortController();
    let timer = setTimeout(() => silence.abort(), SILENCE);
    try {
        const headers: Record<string, string> = { accept: "text/event-stream" };
        if (reader.lastId !== null) headers["last-event-id"] = reader.lastId;
        const answer = await request(path, { headers, signal: AbortSignal.any([abort, silence.signal]) });
        const body = answer.body?.getReader();
        if (!body) return;
        const decoder = new TextDecoder();
        reader.reset();
        listener.opened();
        for (;;) {
            const { done, value } = await body.read();
            if (done) return;
            worked();
            clearTimeout(timer);
            timer = setTimeout(() => silence.abort(), SILENCE);
            const events = reader.read(decoder.decode(value, { stream: true }));
            if (events.length > 0) listener.events(events);
        }
    } finally {
        clearTimeout(timer);
    }
}
