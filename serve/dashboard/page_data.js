// All data that the page shows at one time, loaded piece by piece.

import { over } from "./rollout.js";
import { ask, control } from "./server.js";

// Slowly changing data is loaded at every SLOW-th load; the trail begins this many entries back.
const SLOW = 5;
const TRAIL_BACK = 200;

/** The next data of `place` {model, rollout}, whose parts may be empty. `before` is the last data, or
 * null; what cannot have changed is taken from it. Throws what `ask` throws. */
export async function loadPage(place, before) {
  const { models, rolling } = await ask(control("models"));
  // By default the model with a rollout in progress; then it stays selected.
  const model = [place.model, before?.model, rolling[0], models[0]].find((name) => models.includes(name));
  const turn = (before?.turn ?? -1) + 1;
  if (model === undefined) return { turn, models, rolling, model: null, selected: place };
  const same = before?.model === model ? before : null;
  const slow = !same || turn % SLOW === 0;
  const [detail, curves] = await Promise.all([
    ask(control("models", model)),
    slow ? ask(control("models", model, "curves")) : same.curves,
  ]);
  const moved = slow || detail.rollout !== same.detail.rollout;
  const rollouts = moved ? (await ask(control("models", model, "rollouts"))).rollouts : same.rollouts;
  const running = detail.rollout ?? rollouts.find((line) => !over(line.phase))?.rollout ?? null;
  const listed = rollouts.some((line) => line.rollout === place.rollout) ? place.rollout : null;
  const shown = listed ?? running ?? rollouts[0]?.rollout ?? null;
  const view = shown ? await loadRollout(shown, same, slow) : null;
  return {
    turn,
    models,
    rolling,
    model,
    selected: place,
    detail,
    curves,
    rollouts,
    running,
    view,
    trail: await follow(model, view, same),
  };
}

async function loadRollout(rollout, same, slow) {
  const old = same?.view?.rollout;
  const ended = old?.rollout === rollout && over(old.phase);
  return ended && !slow ? same.view : ask(control("rollouts", rollout));
}

/** The trail: the new entries since the last load, or its end when another rollout is selected. */
async function follow(model, view, same) {
  const id = view?.rollout.rollout ?? null;
  const last = view?.number ?? 0;
  const goesOn = same && (same.trail.of === id || same.trail.after < last - TRAIL_BACK);
  const start = goesOn ? same.trail : { after: Math.max(0, last - TRAIL_BACK), entries: [] };
  const entries = await entriesAfter(model, start.entries.at(-1)?.number ?? start.after);
  return { of: id, after: start.after, entries: [...start.entries, ...entries] };
}

async function entriesAfter(model, number) {
  return (await ask(`${control("models", model, "trail")}?after=${number}`)).entries;
}

/** The trail with earlier entries. */
export async function earlier(model, trail) {
  const after = Math.max(0, trail.after - TRAIL_BACK);
  const entries = await entriesAfter(model, after);
  return {
    ...trail,
    after,
    entries: [...entries.filter((entry) => entry.number <= trail.after), ...trail.entries],
  };
}
