/**
 * The questions, as the stream tells them.
 *
 * A question that ends stays where it is as long as it is open on the screen, and below the list after that. The open
 * question changes only when the person opens another one: nothing that arrives moves it.
 */
import { computed, signal } from "@preact/signals";
import { get, path, refused, why } from "../api";
import { follow, type ServerEvent } from "../events";
import { RISKS, type Approval, type Risk } from "../words";
import { alarm } from "./alarm";

/** How many ended questions stay below the list. */
const MOST_ENDED = 50;
/** After an interruption, how many questions that are gone are asked for one by one. */
const MOST_ASKED = 100;

export type Connection = "connecting" | "live" | "lost";
export const connection = signal<Connection>("connecting");

const questions = new Map<string, Approval>();
/** A new object whenever `questions` has changed: a map of a thousand is not copied for each event. */
const known = signal({ questions });

function changed(): void {
    known.value = { questions };
}

/** The id of the question that is shown in full. */
export const openId = signal<string | null>(null);
/** The ids of the questions that were chosen to be answered together. */
export const chosen = signal<ReadonlySet<string>>(new Set());

export const filter = signal("");
export const leastRisk = signal<Risk>("LOW");
export type Order = "risk" | "time left" | "newest" | "oldest";
export const ORDERS: readonly Order[] = ["risk", "time left", "newest", "oldest"];
export const order = signal<Order>("risk");
export const bySession = signal(false);

const all = computed(() => [...known.value.questions.values()]);

export const open = computed(() => all.value.find(({ approval_id }) => approval_id === openId.value) ?? null);

function isPending(question: Approval): boolean {
    return question.ending === null;
}

export const pendingCount = computed(() => all.value.filter(isPending).length);

/** The pending questions that the filter shows, in order; the open one stays among them when it ends. */
export const shown = computed(() => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const matches = (question: Approval): boolean => {
        const { action, actor, identity, context, matched_rule } = question;
        const names = [action.type, action.target, action.description, actor.id, identity?.subject ?? ""];
        const text = [...names, context.session_id, matched_rule].join("\n").toLowerCase();
        const isRisky = RISKS.indexOf(question.risk_level) <= RISKS.indexOf(leastRisk.value);
        return isRisky && words.every((word) => text.includes(word));
    };
    const isOpen = ({ approval_id }: Approval): boolean => approval_id === openId.value;
    const found = all.value.filter((question) => isOpen(question) || (isPending(question) && matches(question)));
    const compare = ORDER[order.value];
    found.sort((a, b) => compare(a, b) || a.approval_id.localeCompare(b.approval_id));
    if (bySession.value) {
        // A session stands where its first question does.
        const place = new Map<string, number>();
        found.forEach(({ context }, i) => place.has(context.session_id) || place.set(context.session_id, i));
        const of = (question: Approval): number => place.get(question.context.session_id) ?? 0;
        found.sort((a, b) => of(a) - of(b));
    }
    return found;
});

const expiry = (a: Approval, b: Approval): number => a.expires_at.localeCompare(b.expires_at);
const ORDER: Record<Order, (a: Approval, b: Approval) => number> = {
    risk: (a, b) => RISKS.indexOf(a.risk_level) - RISKS.indexOf(b.risk_level) || expiry(a, b),
    "time left": expiry,
    newest: (a, b) => b.requested_at.localeCompare(a.requested_at),
    oldest: (a, b) => a.requested_at.localeCompare(b.requested_at),
};

/** What ended while this page was open, newest first. */
export const ended = computed(() =>
    all.value
        .filter((question) => !isPending(question) && question.approval_id !== openId.value)
        .sort((a, b) => (b.ending?.ended_at ?? "").localeCompare(a.ending?.ended_at ?? ""))
        .slice(0, MOST_ENDED),
);

/** Opens the next or the previous question of the list. */
export function move(by: 1 | -1): void {
    const list = shown.value;
    const here = list.findIndex(({ approval_id }) => approval_id === openId.value);
    const next = here < 0 ? list[by > 0 ? 0 : list.length - 1] : list[here + by];
    if (next) openId.value = next.approval_id;
}

export function choose(id: string): void {
    const ids = new Set(chosen.value);
    if (!ids.delete(id) && questions.get(id)?.ending === null) ids.add(id);
    chosen.value = ids;
}

export function find(id: string): Approval | undefined {
    return questions.get(id);
}

/** Takes in what the daemon says of a question now. */
export function learn(question: Approval): void {
    put(question);
    changed();
}

function put(question: Approval): void {
    const before = questions.get(question.approval_id);
    // An ended question does not open again: what comes later is older.
    if (before && !isPending(before) && isPending(question)) return;
    const history = question.history ?? before?.history;
    questions.set(question.approval_id, history ? { ...question, history } : question);
    if (!isPending(question) && chosen.value.has(question.approval_id)) choose(question.approval_id);
}

function forget(): void {
    const stale =
        ended.value.length < MOST_ENDED ? [] : all.value.filter((it) => !isPending(it) && !ended.value.includes(it));
    for (const { approval_id } of stale) if (approval_id !== openId.value) questions.delete(approval_id);
}

/** What a snapshot does not have has ended without an event. */
async function settle(seen: ReadonlySet<string>): Promise<void> {
    const gone = all.value.filter((question) => isPending(question) && !seen.has(question.approval_id));
    // What the person looks at comes first.
    gone.sort((a, b) => Number(b.approval_id === openId.value) - Number(a.approval_id === openId.value));
    for (const [i, { approval_id }] of gone.entries()) {
        try {
            if (i >= MOST_ASKED) throw new Error("too many to ask for");
            put(await get<Approval>(`/api/v1/approvals/${approval_id}`));
        } catch {
            // The open one stays: if it has ended, the daemon says so when it is answered.
            if (approval_id !== openId.value) questions.delete(approval_id);
        }
    }
    if (gone.length > 0) changed();
}

/** Follows the queue until it is aborted. */
export function start(abort: AbortSignal): void {
    questions.clear();
    [openId.value, chosen.value, connection.value] = [null, new Set(), "connecting"];
    changed();
    let snapshot: Set<string> | null = null;
    let isFirst = true;
    const take = ({ name, data }: ServerEvent): boolean => {
        switch (name) {
            case "pending": {
                const question = JSON.parse(data) as Approval;
                const isNew = !questions.has(question.approval_id);
                snapshot?.add(question.approval_id);
                put(question);
                return isNew && !isFirst;
            }
            case "ended":
                put(JSON.parse(data) as Approval);
                return false;
            case "snapshot_complete":
                changed();
                if (snapshot) void settle(snapshot);
                [snapshot, isFirst, connection.value] = [null, false, "live"];
                return false;
            case "lagged":
                snapshot = new Set();
                return false;
            default:
                return false;
        }
    };
    const listener = {
        opened: () => {
            snapshot = new Set();
        },
        events: (events: ServerEvent[]) => {
            const isNew = events.map(take).some(Boolean);
            forget();
            changed();
            if (isNew) alarm();
        },
        lost: () => {
            connection.value = "lost";
        },
    };
    void follow("/api/v1/approvals/stream", listener, abort).then((problem) => {
        if (problem !== null) refused.value = problem.message;
    });
}

/** The question with the history of its session. */
export async function detail(id: string): Promise<string | null> {
    try {
        learn(await get<Approval>(`/api/v1/approvals/${id}`));
        return null;
    } catch (error) {
        return why(error);
    }
}

/** The list of what this actor did before, for auditors. */
export function historyOfActor(actor: string): string {
    return path("/api/v1/audit/decisions", { actor_id: actor, newest_first: true, page_size: 8 });
}
