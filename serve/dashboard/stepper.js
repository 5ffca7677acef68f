// The shadow and the steps of a rollout in a row, and what the present one still needs.

import { h, s } from "./dom.js";
import { needs, over, shareAt } from "./rollout.js";
import { timeSpent } from "./sentence.js";
import { count, duration, percent, short } from "./format.js";

const MARKS = {
  passed: "M3.5 8.5l3 3 6-7",
  paused: "M5.5 4v8M10.5 4v8",
  waiting: "M8 4v5M8 11.6v.4",
  failed: "M4.5 4.5l7 7M11.5 4.5l-7 7",
  undecided: "M4 8h8",
};
const LABELS = {
  passed: "done",
  now: "now",
  paused: "paused",
  waiting: "waits",
  failed: "ended",
  undecided: "ended",
  ahead: "",
};

/** The steps as a list, the present one marked. */
export function stepper({ rollout }) {
  const { policy } = rollout.plan;
  const stops = policy.steps.map((step, index) =>
    stop(rollout, index + 1, percent(shareAt(rollout, index + 1)), step.approval),
  );
  if (policy.watch_s) stops.push(stop(rollout, policy.steps.length + 1, "watch", false));
  const shadow = policy.shadow.skip ? [] : [stop(rollout, 0, "shadow", false)];
  return h("ol.stepper", { "aria-label": "Steps of the rollout" }, shadow, stops);
}

function stop(rollout, step, label, approval) {
  const state = stateOf(rollout, step);
  const mark = MARKS[state]
    ? s("path", { d: MARKS[state] })
    : state === "now"
      ? s("circle", { cx: 8, cy: 8, r: 3 })
      : null;
  return h(
    `li.stop.${state}`,
    {
      "aria-current": ["now", "paused", "waiting"].includes(state) ? "step" : null,
      title: approval ? "a person must approve before this step" : null,
    },
    h("span.dot", null, s("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, mark)),
    h("span.share", null, label),
    h("span.state", null, LABELS[state] || (approval ? "approval" : "\u00a0")),
  );
}

function stateOf({ phase, step: reached }, step) {
  const present = phase === "WATCHING" ? reached + 1 : reached;
  if (step < present || phase === "DONE") return "passed";
  if (step > present) return phase === "WAITING_APPROVAL" && step === present + 1 ? "waiting" : "ahead";
  return (
    { PAUSED: "paused", WAITING_APPROVAL: "passed", ROLLED_BACK: "failed", INCONCLUSIVE: "undecided" }[
      phase
    ] ?? "now"
  );
}

/** What this step has and needs; nothing if the rollout is over. */
export function meters(view, now_s) {
  if (over(view.rollout.phase)) return null;
  const missing = needs(view, now_s).map(meter);
  return h(
    "div.meters",
    null,
    missing,
    h(
      "div.meter.soft",
      null,
      h("span", null, "Whole rollout"),
      h("span.value", null, timeSpent(view, now_s)),
    ),
  );
}

function meter({ name, has, needs: least, unit }) {
  const part = least ? Math.min(1, has / least) : 1;
  const tail = unit && `\u202f${unit}`;
  const text =
    part < 1 ? `${count(has)} of ${count(least)}${tail}` : `${unit ? duration(has) : count(has)}, enough`;
  return h(
    "div.meter",
    null,
    h("span", null, name),
    h("span.value", null, text),
    s(
      "svg.track",
      {
        role: "img",
        "aria-label": `${name}: ${short(part * 100)} percent of what this step needs`,
        width: "100%",
        height: 4,
      },
      s("rect.rail", { width: "100%", height: 4, rx: 2 }),
      s("rect.level", { width: `${(part * 100).toFixed(1)}%`, height: 4, rx: 2 }),
    ),
  );
}
