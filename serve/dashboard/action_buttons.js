// The buttons for acting on a rollout, each with a confirmation that explains its effect.

import { open } from "./dialog.js";
import { h } from "./dom.js";
import { finish, nextStep, over, shareAt } from "./rollout.js";
import { ask, control } from "./server.js";
import { percent } from "./format.js";

const STALE = "Nothing was done, because the rollout has changed. This page now shows its present state";

/** The buttons for the phase. `page` has `view()` (the newest view), `reload()` and `notify(message)`. */
export function acts(view, page) {
  const { rollout } = view;
  if (rollout.phase === "DONE" && !rollout.accepted && answersAll(view)) return [acceptButton(rollout, page)];
  if (over(rollout.phase)) return [];
  const paused = rollout.phase === "PAUSED";
  const watched = rollout.phase === "WATCHING";
  const steady = watched
    ? null
    : paused
    ? h("button", { type: "button", "data-key": "resume", onclick: () => act("resume", page) }, "Resume")
    : h("button", { type: "button", "data-key": "pause", onclick: () => act("pause", page) }, "Pause");
  return [
    steady,
    watched && acceptButton(rollout, page),
    h(
      "button",
      { type: "button", "data-key": "promote", onclick: () => promote(page) },
      `${promoteVerb(rollout)} …`,
    ),
    h("button.grave", { type: "button", "data-key": "abort", onclick: () => abort(page) }, "Abort …"),
  ];
}

/** Whether no other routes were set since the rollout was done. */
function answersAll({ rollout, routes }) {
  const { candidate } = rollout.plan;
  return Object.entries(routes.weights).every(([name, weight]) => name === candidate || !weight);
}

function acceptButton({ plan: { candidate } }, page) {
  const does = () => accept(page);
  return h("button", { type: "button", "data-key": "accept", onclick: does }, `Make ${candidate} the baseline …`);
}

function accept(page) {
  const { candidate, baseline } = page.view().rollout.plan;
  const what = `The next rollout starts from ${candidate}, which answers when another variant fails. `;
  const then = `${baseline} becomes an ordinary variant. No traffic moves.`;
  return confirm("accept", `Make ${candidate} the baseline?`, what + then, "Make it the baseline", "", page);
}

function promoteVerb(rollout) {
  const next = nextStep(rollout);
  if (next === null) return finish(rollout) === "watch" ? `Promote to ${percent(1)}` : "Finish";
  const verb = rollout.phase === "WAITING_APPROVAL" ? "Approve" : "Promote to";
  return `${verb} ${percent(shareAt(rollout, next))}`;
}

function promote(page) {
  const { rollout } = page.view();
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
  return confirm("promote", `${promoteVerb(rollout)}?`, what, promoteVerb(rollout), "", page);
}

function abort(page) {
  const { candidate, baseline } = page.view().rollout.plan;
  const what = `All traffic goes to ${baseline} at once, and the rollout ends. `;
  const then = "It cannot be resumed, but you can start a new one.";
  return confirm("abort", "Abort the rollout?", what + then, "Abort", "grave", page);
}

function confirm(verb, title, what, label, tone, page) {
  const shown = page.view();
  const reason = h("input", { name: "reason", maxlength: 500, autocomplete: "off" });
  return open({
    title,
    content: [h("p", null, what), h("label", null, "Reason, for the timeline (optional)", reason)],
    verb: label,
    tone,
    careful: true,
    does: (form) => {
      const reason = form.elements.reason.value.trim();
      const body = { number: numberToSend(shown, page.view()), ...(reason && { reason }) };
      return send(verb, body, shown.rollout.rollout, page);
    },
    stays: () => false,
  });
}

/** The newest number while the rollout is where it was when the dialog opened; else the number of
 * then, which the server refuses. */
function numberToSend(shown, now) {
  const place = ({ rollout: { rollout, phase, step } }) => `${rollout} ${phase} ${step}`;
  return now && place(shown) === place(now) ? now.number : shown.number;
}

async function act(verb, page) {
  const view = page.view();
  await send(verb, { number: view.number }, view.rollout.rollout, page).catch(() => {});
}

async function send(verb, body, rollout, page) {
  try {
    const answer = await ask(control("rollouts", rollout, verb), { body });
    // In force, and written to the store later.
    page.notify(answer.error ?? null);
  } catch (error) {
    page.fail(error.current === undefined ? error : new Error(`${STALE} (entry ${error.current}).`));
    throw error;
  } finally {
    await page.reload();
  }
}
