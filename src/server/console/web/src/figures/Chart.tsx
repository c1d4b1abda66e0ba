/** Stacked bars over time, drawn by uPlot. A table has the same numbers. */
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { OverTime } from "./figures";

const HEIGHT = 220;
/** Told apart also by people who do not see red and green; legible on both backgrounds. */
const COLOURS = ["#4e79d4", "#e08214", "#2a9d8f", "#b04fa0", "#8c8c8c", "#c0392b"];
/** What has a meaning has a colour of its own. */
const FIXED: Record<string, string> = {
    allow: "#2a9d8f",
    escalate: "#e08214",
    "require confirmation": "#4e79d4",
    deny: "#c0392b",
    low: "#8c8c8c",
    medium: "#4e79d4",
    high: "#e08214",
    critical: "#c0392b",
};

function colourOf(name: string, i: number): string {
    return FIXED[name] ?? COLOURS[i] ?? "#8c8c8c";
}

/** A colour of the style sheet, as the canvas wants it. */
function colour(of: Element, property: string): string {
    const probe = document.createElement("span");
    probe.style.color = `var(${property})`;
    of.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
}

/** The sums from each series on, so that the bars of the first stand on those of the others. */
function stacked({ times, series }: OverTime): uPlot.AlignedData {
    const sums: number[][] = [];
    const below = times.map(() => 0);
    for (const { counts } of [...series].reverse()) {
        counts.forEach((count, i) => (below[i] = (below[i] ?? 0) + count));
        sums.unshift([...below]);
    }
    return [times, ...sums];
}

export function Chart(props: { data: OverTime; label: string; theme: string }): JSX.Element {
    const { data, label, theme } = props;
    const place = useRef<HTMLDivElement>(null);
    useEffect(() => {
        const root = place.current;
        if (!root) return;
        const [text, line] = [colour(root, "--muted"), colour(root, "--line")];
        const axis = { stroke: text, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
        const bars = uPlot.paths.bars?.({ size: [0.9, 60], align: 1 });
        const series = data.series.map(({ name }, i) => ({
            fill: colourOf(name, i),
            width: 0,
            points: { show: false },
            ...(bars ? { paths: bars } : {}),
        }));
        const whole = (_: uPlot, splits: number[]): string[] =>
            splits.map((it) => (Number.isInteger(it) ? String(it) : ""));
        const plot = new uPlot(
            {
                width: root.clientWidth,
                height: HEIGHT,
                legend: { show: false },
                cursor: { show: false },
                scales: {
                    x: { range: [data.from, data.to] },
                    y: { range: (_, __, most) => [0, Math.max(1, most * 1.05)] },
                },
                axes: [axis, { ...axis, size: 44, values: whole }],
                series: [{}, ...series],
            },
            stacked(data),
            root,
        );
        const resized = new ResizeObserver(() => plot.setSize({ width: root.clientWidth, height: HEIGHT }));
        resized.observe(root);
        return () => {
            resized.disconnect();
            plot.destroy();
        };
    }, [data, theme]);
    return (
        <>
            <div ref={place} class="chart" role="img" aria-label={label} />
            <ul class="legend">
                {data.series.map(({ name, counts }, i) => (
                    <li key={name}>
                        <span class="dot" style={{ background: colourOf(name, i) }} /> {name}{" "}
                        <span class="muted">{counts.reduce((a, b) => a + b, 0)}</span>
                    </li>
                ))}
            </ul>
        </>
    );
}
