// The rollouts of a model, newest first, and the replay of the shown one.

import { h } from "./dom.js";
import { PHASES } from "./rollout.js";
import { actor } from "./sentence.js";
import { ask, control } from "./server.js";
import { ago, plural, moment, formatNumbers } from "./format.js";

// A replay computes every verdict of the rollout again.
const REPLAY_TIMEOUT_MS = 120_000;

/** The address of a view of this page. */
export function address(model, rollout) {
  return `#${[model, rollout].filter(Boolean).map(encodeURIComponent).join("/")}`;
}

/** The list, each a link to its rollout. */
export function history(model, rollouts, shown, now_s) {
  if (!rollouts.length) return h("p.empty", null, "There are no rollouts yet.");
  return h(
    "ol.history",
    null,
    rollouts.map((line) => item(model, line, line.rollout === shown, now_s)),
  );
}

function item(model, line, shown, now_s) {
  return h(
    "li",
    { "data-key": line.rollout },
    h(
      "a",
      { href: address(model, line.rollout), "aria-current": shown ? "true" : null },
      h(
        "span.head",
        null,
        h("b", null, line.candidate),
        h(`span.phase.phase-${line.phase}`, null, PHASES[line.phase]),
      ),
      h(
        "span.soft",
        null,
        h("time", { title: moment(line.started_s) }, `started ${ago(line.started_s, now_s)}`),
        `, last changed by ${actor(line.by)}`,
      ),
      h("span.reason", null, formatNumbers(line.reason)),
      h("code", null, line.rollout),
    ),
  );
}

/** The button, and the result of this rollout's last replay: {rollout, result | error}. */
export function replay(rollout, last, does) {
  const mine = last?.rollout === rollout ? last : null;
  return [
    h(
      "button",
      { type: "button", "data-key": "replay", disabled: mine?.running, onclick: () => does(rollout) },
      mine?.running ? "Replaying …" : "Replay",
    ),
    h(
      "div.replayed",
      { role: "status" },
      mine && !mine.running
        ? outcome(mine)
        : h("span.soft", null, "Computes every verdict again from the stored evidence."),
    ),
  ];
}

function outcome({ result, error }) {
  if (error) return h("p.bad", null, error);
  const verdicts = plural(result.verdicts, "verdict");
  if (!result.faults.length)
    return h("p.good", null, `${verdicts} computed again: all are the same, and every byte is unchanged.`);
  return [
    h("p.bad", null, `${verdicts} computed again, ${plural(result.faults.length, "fault")}:`),
    h(
      "ul",
      null,
      result.faults.map((fault) => h("li", null, fault)),
    ),
  ];
}

/** Request the replay: {rollout, result | error}. */
export async function replayed(rollout) {
  try {
    return {
      rollout,
      result: await ask(control("rollouts", rollout, "replay"), { timeout_ms: REPLAY_TIMEOUT_MS }),
    };
  } catch (error) {
    return { rollout, error: error.message };
  }
}
