// The buttons for acting on a rollout, each with a confirmation that explains its effect.

import { open } from "./dialog.js";
import { h } from "./dom.js";
import { finish, nextStep, over, shareAt } from "./rollout.js";
import { ask, control } from "./server.js";
import { percent } from "./words.js";

const STALE = "Nothing was done, because the rollout has changed. This page now shows its present state";

/** The buttons for the phase. `desk` has `view()` (the newest view), `look()` and `tell(message)`. */
export function acts(view, desk) {
  const { rollout } = view;
  if (rollout.phase === "DONE" && !rollout.accepted && answersAll(view)) return [acceptButton(rollout, desk)];
  if (over(rollout.phase)) return [];
  const paused = rollout.phase === "PAUSED";
  const watched = rollout.phase === "WATCHING";
  const steady = watched
    ? null
    : paused
    ? h("button", { type: "button", "data-key": "resume", onclick: () => act("resume", desk) }, "Resume")
    : h("button", { type: "button", "data-key": "pause", onclick: () => act("pause", desk) }, "Pause");
  return [
    steady,
    watched && acceptButton(rollout, desk),
    h(
      "button",
      { type: "button", "data-key": "promote", onclick: () => promote(desk) },
      `${promoteVerb(rollout)} …`,
    ),
    h("button.grave", { type: "button", "data-key": "abort", onclick: () => abort(desk) }, "Abort …"),
  ];
}

/** Whether no other routes were set since the rollout was done. */
function answersAll({ rollout, routes }) {
  const { candidate } = rollout.plan;
  return Object.entries(routes.weights).every(([name, weight]) => name === candidate || !weight);
}

function acceptButton({ plan: { candidate } }, desk) {
  const does = () => accept(desk);
  return h("button", { type: "button", "data-key": "accept", onclick: does }, `Make ${candidate} the baseline …`);
}

function accept(desk) {
  const { candidate, baseline } = desk.view().rollout.plan;
  const what = `The next rollout starts from ${candidate}, which answers when another variant fails. `;
  const then = `${baseline} becomes an ordinary variant. No traffic moves.`;
  return confirm("accept", `Make ${candidate} the baseline?`, what + then, "Make it the baseline", "", desk);
}

function promoteVerb(rollout) {
  const next = nextStep(rollout);
  if (next === null) return finish(rollout) === "watch" ? `Promote to ${percent(1)}` : "Finish";
  const verb = rollout.phase === "WAITING_APPROVAL" ? "Approve" : "Promote to";
  return `${verb} ${percent(shareAt(rollout, next))}`;
}

function promote(desk) {
  const { rollout } = desk.view();
  const { candidate, baseline } = rollout.plan;
  const next = nextStep(rollout);
  const from = rollout.step ? percent(shareAt(rollout, rollout.step)) : "the shadow";
  const way =
    rollout.phase === "WAITING_APPROVAL"
      ? "The evidence is sufficient."
      : "This skips the evidence.";
  const what =
    next === null
      ? finish(rollout) === "watch"
        ? `${candidate} gets all traffic, and ${baseline} gets none. Harm still rolls back. ${way}`
        : `The rollout ends: ${candidate} keeps all traffic, and ${baseline} gets none.`
      : `${candidate} goes from ${from} to ${percent(shareAt(rollout, next))} of the traffic. ${way}`;
  return confirm("promote", `${promoteVerb(rollout)}?`, what, promoteVerb(rollout), "", desk);
}

function abort(desk) {
  const { candidate, baseline } = desk.view().rollout.plan;
  const what = `All traffic goes to ${baseline} at once, and the rollout ends. `;
  const then = "It cannot be resumed, but you can start a new one.";
  return confirm("abort", "Abort the rollout?", what + then, "Abort", "grave", desk);
}

function confirm(verb, title, what, label, tone, desk) {
  const seen = desk.view();
  const reason = h("input", { name: "reason", maxlength: 500, autocomplete: "off" });
  return open({
    title,
    content: [h("p", null, what), h("label", null, "Reason, for the timeline (optional)", reason)],
    verb: label,
    tone,
    careful: true,
    does: (form) => {
      const said = form.elements.reason.value.trim();
      const body = { number: numberFor(seen, desk.view()), ...(said && { reason: said }) };
      return send(verb, body, seen.rollout.rollout, desk);
    },
    stays: () => false,
  });
}

/** The newest number while the rollout stands where it stood when the person was asked; else the number of
 * then, which the server refuses. */
function numberFor(seen, now) {
  const place = ({ rollout: { rollout, phase, step } }) => `${rollout} ${phase} ${step}`;
  return now && place(seen) === place(now) ? now.number : seen.number;
}

async function act(verb, desk) {
  const view = desk.view();
  await send(verb, { number: view.number }, view.rollout.rollout, desk).catch(() => {});
}

async function send(verb, body, rollout, desk) {
  try {
    const answer = await ask(control("rollouts", rollout, verb), { body });
    // In force, and written to the store later.
    desk.tell(answer.error ?? null);
  } catch (error) {
    desk.fail(error.current === undefined ? error : new Error(`${STALE} (entry ${error.current}).`));
    throw error;
  } finally {
    await desk.look();
  }
}
