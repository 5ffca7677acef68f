// A chart of several variants over time, drawn in a box of 1000 by 100 that is scaled to fit.

import { h, s } from "./dom.js";
import { swatch } from "./variants.js";

const WIDTH = 1000;
const HEIGHT = 100;
const LIMIT_TIMES = 3;
// The number of intervals.
const RECENT = 6;

/** A chart of `lines` [{name, style, values}] over `at_s`. `say` writes a value; `at` is the index that is
 * pointed at or null; `limit` a level to draw or null; `least` what the scale ends at when all is 0; `marks`
 * moments [{at_s, text}]; `point` takes a share of the width, or null when the pointer leaves. */
export function chart({ title, lines, at_s, say, at, limit, least = 1, marks, point }) {
  const values = lines.flatMap((line) => line.values).filter((value) => value !== null);
  const highest = Math.max(...values, 0) || least;
  // A limit far above the lines would flatten them.
  const near = limit !== null && limit <= LIMIT_TIMES * highest;
  const top = niceTop(near ? Math.max(limit, highest) : highest);
  const shown = lines.map((line) => ({ ...line, value: line.values[at ?? lastKnown(line.values)] ?? null }));
  const text = shown.map((line) => `${line.name} ${say(line.value)}`).join(", ");
  return h(
    "figure.chart",
    { "data-key": title },
    h("figcaption", null, h("span.what", null, title), readout(shown, say, limit)),
    h(
      "div.plot",
      null,
      h("span.top", null, say(top)),
      s(
        "svg",
        {
          viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
          preserveAspectRatio: "none",
          role: "img",
          "aria-label": `${title} over ten minutes; ${at === null ? "now" : "there"} ${text}`,
          onpointermove: (event) => point(shareOf(event)),
          onpointerleave: () => point(null),
        },
        grid(),
        marks.map((mark) => s("line.mark", vertical(x(mark.at_s, at_s)), s("title", null, mark.text))),
        near && s("line.limit", horizontal(limit, top)),
        lines.map((line) => s(`path.line.${line.style}`, { d: path(line.values, at_s, top) })),
        at !== null && s("line.pointed", vertical(x(at_s[at], at_s))),
      ),
    ),
  );
}

function readout(shown, say, limit) {
  const values = shown.map((line) =>
    h("span.reading", { title: line.name }, swatch(line.style), say(line.value)),
  );
  if (limit !== null) values.push(h("span.reading.soft", null, `limit ${say(limit)}`));
  return h("span.readout", null, values);
}

/** The index of the last value, if it is recent: with little traffic, some intervals have no value. */
function lastKnown(values) {
  const last = values.findLastIndex((value) => value !== null);
  return values.length - last <= RECENT ? last : -1;
}

function shareOf(event) {
  const box = event.currentTarget.getBoundingClientRect();
  return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
}

function x(moment_s, at_s) {
  const [first, last] = [at_s[0], at_s.at(-1)];
  return last > first ? (WIDTH * (moment_s - first)) / (last - first) : WIDTH;
}

function vertical(position) {
  return { x1: position.toFixed(1), x2: position.toFixed(1), y1: 0, y2: HEIGHT };
}

function horizontal(value, top) {
  const y = (HEIGHT * (1 - value / top)).toFixed(2);
  return { x1: 0, x2: WIDTH, y1: y, y2: y };
}

function grid() {
  return [0, 0.5, 1].map((part) => s("line.grid", horizontal(part, 1)));
}

/** A line with gaps where there is no value; a single value becomes a dot. */
function path(values, at_s, top) {
  let drawn = "";
  let pen = false;
  values.forEach((value, index) => {
    if (value !== null) {
      const to = `${x(at_s[index], at_s).toFixed(1)} ${(HEIGHT * (1 - value / top)).toFixed(2)}`;
      const lone = !pen && (values[index + 1] ?? null) === null;
      drawn += `${pen ? "L" : "M"}${to}${lone ? "h.01" : ""}`;
    }
    pen = value !== null;
  });
  return drawn;
}

function niceTop(highest) {
  if (!(highest > 0)) return 1;
  const decade = 10 ** Math.floor(Math.log10(highest));
  return decade * [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((factor) => factor * decade >= highest * 0.999);
}
