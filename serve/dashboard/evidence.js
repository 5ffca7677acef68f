// The evidence of each guard relative to its thresholds, as a picture and in words.

import { h, s } from "./dom.js";
import { progress, scale, guardState } from "./guard_state.js";
import { odds, formatNumbers, short } from "./format.js";

// The middle means no evidence. The thresholds are this many percent to its left and right; evidence beyond
// them is drawn up to this many times as far.
const REACH = 36;
const BEYOND = 1.3;
// Estimates are drawn from a tenth to this.
const LARGEST = 10;
const TITLES = {
  errors: "Errors",
  latency: "Latency",
  accuracy: "Accuracy",
  "shadow accuracy": "Accuracy in the shadow",
  cost: "Cost",
  split: "Split",
  disagreement: "Disagreement",
  slices: "Slices",
  cosine: "Cosine",
  kl: "KL divergence",
  // The name in trails of older versions.
  KL: "KL divergence",
};
const STATES = { harm: "harm shown", suspicion: "harm suspected", proven: "shown to be safe", open: "open" };

/** A row for each figure of a verdict. */
export function evidence(verdict, policy) {
  return [
    h(
      "div.rails",
      { "aria-hidden": "true" },
      h("span", null, h("b.safe", null, "◂ proof of safety")),
      h("span", null, h("b.harm", null, "evidence for harm ▸")),
    ),
    h(
      "ul.figures",
      null,
      verdict.figures.map((figure) => row(figure, policy)),
    ),
    h(
      "p.key",
      null,
      "A bar that reaches its threshold decides; the numbers below it are odds, valid at every look. ",
      "Dots are estimates with 95\u202f% intervals: 1× is the baseline, or the allowed value; ",
      "short dashes show where harm is suspected, and up to where a ratio is safe.",
    ),
  ];
}

function row(figure, policy) {
  const at = guardState(figure);
  return h(
    `li.figure.is-${at}`,
    { "data-key": figure.guard },
    h(
      "div.guard",
      null,
      h("h4", null, TITLES[figure.guard] ?? figure.guard),
      h("span.standing", null, describeState(figure, at)),
    ),
    h(
      "div.weighing",
      null,
      bullet(figure),
      h(
        "div.odds",
        null,
        h("span", null, towards(figure.safe, figure.safe_at)),
        h("span", null, towards(figure.harm, figure.harm_at)),
      ),
    ),
    h("div.estimate", null, interval(figure, policy)),
    h("p.seen", null, formatNumbers(figure.seen)),
  );
}

function describeState(figure, at) {
  if (figure.guard === "cost" && figure.safe === null) return "not required";
  if (figure.guard === "cost" && at === "proven") return "shown to be cheaper";
  if (figure.guard === "split") return at === "harm" ? "wrong" : "as configured";
  return STATES[at];
}

function towards(evidence, line) {
  if (evidence === null || line === null) return "";
  return evidence >= line
    ? `${odds(evidence)}, beyond the threshold (${odds(line)})`
    : `${odds(evidence)} of ${odds(line)}`;
}

function bullet(figure) {
  const safe = progress(figure.safe, figure.safe_at);
  const harm = progress(figure.harm, figure.harm_at);
  const parts = [s("rect.rail", { x: "2%", y: 8, width: "96%", height: 6, rx: 3 })];
  if (safe !== null) parts.push(...side("safe", safe, -1));
  if (harm !== null) parts.push(...side("harm", harm, 1));
  const suspicious = 50 + (REACH * figure.safe_at) / figure.harm_at;
  if (harm !== null && figure.safe_at !== null) parts.push(tick(suspicious));
  parts.push(s("line.zero", { x1: "50%", x2: "50%", y1: 5, y2: 17 }));
  const words = [
    safe === null ? "" : `proof of safety at ${short(safe * 100)} percent of its threshold`,
    harm === null ? "" : `evidence for harm at ${short(harm * 100)} percent of its threshold`,
  ];
  return s(
    "svg.bullet",
    { role: "img", "aria-label": words.filter(Boolean).join(", "), width: "100%", height: 22 },
    parts,
  );
}

/** The bar on one side of the middle, and its threshold. */
function side(name, part, direction) {
  const width = REACH * Math.min(BEYOND, part);
  const line = `${50 + direction * REACH}%`;
  return [
    s(`rect.${name}`, {
      x: `${(direction < 0 ? 50 - width : 50).toFixed(2)}%`,
      y: 6,
      width: `${width.toFixed(2)}%`,
      height: 10,
    }),
    s(`line.decision.${name}`, { x1: line, x2: line, y1: 0, y2: 22 }),
  ];
}

/** The mark from where harm is suspected, which stops the next step. */
function tick(percent) {
  const at = `${percent.toFixed(2)}%`;
  return s(
    "line.suspicious",
    { x1: at, x2: at, y1: 3, y2: 19 },
    s("title", null, "harm is suspected from here on: no further step"),
  );
}

/** The estimate with its interval on a log scale from a tenth to ten times, against 1. */
function interval(figure, policy) {
  const measure = scale(figure, policy);
  if (!measure || figure.estimate === null) return null;
  const [low, estimate, high] = [figure.low, figure.estimate, figure.high].map((value) =>
    value === null ? null : value / measure.per,
  );
  const bounded = low !== null || high !== null;
  const between = bounded ? `, between ${short(low ?? 0)} and ${high === null ? "any" : short(high)}` : "";
  return [
    s(
      "svg.interval",
      { role: "img", "aria-label": `${short(estimate)} ${measure.of}${between}`, width: "100%", height: 22 },
      s("rect.rail", { y: 10, width: "100%", height: 2 }),
      measure.safe !== null && safeEnd(measure.safe),
      s("line.one", upright(50, 1, 21)),
      bounded &&
        s("line.whisker", { x1: `${place(low)}%`, x2: `${place(high ?? LARGEST)}%`, y1: 11, y2: 11 }),
      s("circle.dot", { cx: `${place(estimate)}%`, cy: 11, r: 4 }),
      Math.max(estimate, high ?? LARGEST) > LARGEST && s("text.over", { x: "100%", y: 15, dx: 3 }, "▸"),
    ),
    h(
      "div.ticks",
      { "aria-hidden": "true" },
      h("span", null, "⅒"),
      h("span", null, "1×"),
      h("span", null, "10×"),
    ),
  ];
}

function safeEnd(ratio) {
  return s("line.safe", upright(place(ratio), 4, 18), s("title", null, `safe below ${short(ratio)}`));
}

function place(ratio) {
  return ratio === null || ratio <= 0 ? 0 : Math.min(100, Math.max(0, 50 + 50 * Math.log10(ratio)));
}

function upright(percent, y1, y2) {
  return { x1: `${percent}%`, x2: `${percent}%`, y1, y2 };
}
