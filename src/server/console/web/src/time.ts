/** Times, for people: in the local zone. */
import { signal } from "@preact/signals";
import { daemonNow } from "./api";

/** The daemon's time, every second. */
export const now = signal(daemonNow());
setInterval(() => (now.value = daemonNow()), 1000);

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** The time of a moment of today, with the date of any other. */
export function local(moment: string): string {
    const date = new Date(moment);
    return date.toDateString() === new Date().toDateString() ? clock.format(date) : full.format(date);
}

/** `2 h 5 min`, `4 min 10 s`, `9 s`. */
export function duration(milliseconds: number): string {
    const seconds = Math.max(0, Math.floor(milliseconds / 1000));
    const [d, h, m, s] = [
        Math.floor(seconds / 86400),
        Math.floor(seconds / 3600) % 24,
        Math.floor(seconds / 60) % 60,
        seconds % 60,
    ];
    if (d > 0) return `${d} d ${h} h`;
    if (h > 0) return `${h} h ${m} min`;
    return m > 0 ? `${m} min ${s} s` : `${s} s`;
}

export function ago(moment: string): string {
    const passed = now.value - Date.parse(moment);
    return passed < 1000 ? "just now" : `${duration(passed)} ago`;
}
