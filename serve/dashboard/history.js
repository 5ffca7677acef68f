// History: a model's rollouts, newest first, and the replay of the one that is shown.

import { h } from "./dom.js";
import { PHASES } from "./rollout.js";
import { who } from "./sentence.js";
import { ask, control } from "./server.js";
import { ago, many, moment, said } from "./words.js";

// The whole rollout is judged again.
const REPLAY_TIMEOUT_MS = 120_000;

/** The address of a place on this page. */
export function address(model, rollout) {
  return `#${[model, rollout].filter(Boolean).map(encodeURIComponent).join("/")}`;
}

/** The list, each a link to its rollout. */
export function history(model, rollouts, shown, now_s) {
  if (!rollouts.length) return h("p.empty", null, "No rollout has run yet.");
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
        `, last changed by ${who(line.by)}`,
      ),
      h("span.reason", null, said(line.reason)),
      h("code", null, line.rollout),
    ),
  );
}

/** The button, and what came of the last replay of this rollout: {rollout, result | error}. */
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
        : h("span.soft", null, "Computes every verdict once more from the stored evidence."),
    ),
  ];
}

function outcome({ result, error }) {
  if (error) return h("p.bad", null, error);
  const verdicts = many(result.verdicts, "verdict");
  if (!result.faults.length)
    return h("p.good", null, `${verdicts} computed again: all the same, and every byte as it was written.`);
  return [
    h("p.bad", null, `${verdicts} computed again, ${many(result.faults.length, "fault")}:`),
    h(
      "ul",
      null,
      result.faults.map((fault) => h("li", null, fault)),
    ),
  ];
}

/** Ask for the replay: {rollout, result | error}. */
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
