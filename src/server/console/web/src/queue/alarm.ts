/** Tells a person who looks elsewhere that a question waits: by the title, and by a sound where they allowed it. */
import { effect, signal } from "@preact/signals";

const KEY = "aegis-console-sound";
/** A setting is no secret: it is kept in the browser. */
export const sound = signal(localStorage.getItem(KEY) === "on");
effect(() => localStorage.setItem(KEY, sound.value ? "on" : "off"));

let context: AudioContext | null = null;

/** Two short tones. A browser plays them only after the person has used the page. */
export function alarm(): void {
    if (!sound.value) return;
    context ??= new AudioContext();
    const { currentTime, destination } = context;
    [660, 880].forEach((frequency, i) => {
        const [tone, volume] = [context?.createOscillator(), context?.createGain()];
        if (!tone || !volume) return;
        tone.frequency.value = frequency;
        const at = currentTime + i * 0.15;
        volume.gain.setValueAtTime(0.12, at);
        volume.gain.exponentialRampToValueAtTime(0.001, at + 0.14);
        tone.connect(volume).connect(destination);
        tone.start(at);
        tone.stop(at + 0.15);
    });
}

export function badge(count: number): void {
    document.title = count > 0 ? `(${count}) Aegis` : "Aegis";
    // Only where the page is installed as an app.
    const set = count > 0 ? navigator.setAppBadge?.(count) : navigator.clearAppBadge?.();
    set?.catch(() => undefined);
}
