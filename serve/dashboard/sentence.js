// The state of a model in one sentence.

import { guardState } from "./guard_state.js";
import { missingInShort, nextStep, over, shareAt } from "./rollout.js";
import { split } from "./shares.js";
import { duration, list, plural, percent, formatNumbers } from "./format.js";

/** {tone, main, rest}: the tone for colour and mark, the state, and details. */
export function sentence(detail, view) {
  if (!view) return { tone: "NONE", main: `${present(detail)}.`, rest: "There are no rollouts yet." };
  const suspicious =
    !over(view.rollout.phase) && view.verdict?.figures.some((figure) => guardState(figure) === "suspicion");
  return {
    tone: suspicious ? "SUSPICION" : view.rollout.phase,
    ...SENTENCES[view.rollout.phase](view, detail),
  };
}

/** Which variants answer now; other routes may have been set since the last rollout. */
function present({ routes }) {
  const names = Object.keys(routes.weights).filter((name) => routes.weights[name] > 0);
  return names.length === 1
    ? `${names[0]} answers all of ${routes.model}`
    : `${routes.model} is split now, ${split(routes)}`;
}

const SENTENCES = {
  SHADOW(view) {
    const { candidate, policy } = view.rollout.plan;
    const copied = `copies of ${percent(policy.shadow.share)} of the requests`;
    const main = `${candidate} is in the shadow: it gets ${copied} and answers no users.`;
    return { main, rest: outlook(view) };
  },
  STEP(view) {
    const { rollout } = view;
    const { candidate, policy } = rollout.plan;
    const share = percent(shareAt(rollout, rollout.step));
    const step = `step ${rollout.step} of ${policy.steps.length}`;
    return { main: `Rolling out ${candidate}: ${step}, ${share} of the traffic.`, rest: outlook(view) };
  },
  WAITING_APPROVAL(view) {
    const { rollout } = view;
    const next = nextStep(rollout);
    const from = rollout.step ? percent(shareAt(rollout, rollout.step)) : "the shadow";
    const way = `from ${from} to ${percent(shareAt(rollout, next))}`;
    const main = `${rollout.plan.candidate} is waiting for approval to go ${way}.`;
    return { main, rest: `${harmless(view.verdict)}. It keeps its share until a person approves.` };
  },
  PAUSED(view) {
    const { rollout } = view;
    const where = rollout.step
      ? `at ${percent(shareAt(rollout, rollout.step))} of the traffic`
      : "in the shadow";
    const why = rollout.reason === "paused" ? "" : `${capital(actor(rollout.by))}: ${formatNumbers(rollout.reason)}. `;
    return {
      main: `${rollout.plan.candidate} is paused ${where}.`,
      rest: `${why}${harmless(view.verdict)}. Harm still rolls it back.`,
    };
  },
  WATCHING({ rollout, verdict }) {
    const { candidate, baseline, policy } = rollout.plan;
    const rest = `${harmless(verdict)}. Harm still gives all traffic back to ${baseline}.`;
    return { main: `${candidate} has all traffic and is watched for ${duration(policy.watch_s)}.`, rest };
  },
  DONE({ rollout }, detail) {
    const { candidate, policy } = rollout.plan;
    const rest = rollout.accepted
      ? `It is the baseline now, by ${actor(rollout.by)}.`
      : `All ${plural(policy.steps.length, "step")} taken, the last one by ${actor(rollout.by)}.`;
    return { main: `${candidate} was promoted: ${present(detail)}.`, rest };
  },
  ROLLED_BACK({ rollout }, detail) {
    const why = rollout.reason === "aborted" ? "" : `: ${formatNumbers(rollout.reason)}`;
    const rest =
      rollout.by === "judge" ? `${capital(formatNumbers(rollout.reason))}.` : `${actor(rollout.by)} aborted it${why}.`;
    return { main: `${rollout.plan.candidate} was rolled back ${place(rollout)}: ${present(detail)}.`, rest };
  },
  INCONCLUSIVE({ rollout }, detail) {
    return {
      main: `No decision on ${rollout.plan.candidate}: ${present(detail)}.`,
      rest: capital(`${formatNumbers(rollout.reason)}.`),
    };
  },
};

function place({ step, plan }) {
  return step ? `in step ${step} of ${plan.policy.steps.length}` : "in the shadow";
}

function outlook({ verdict }) {
  if (!verdict) return "No verdict yet.";
  if (verdict.kind === "PROMOTE") return `${harmless(verdict)}, nothing missing.`;
  const { counts, unproven } = missingInShort(verdict);
  const waits = counts.map(formatNumbers);
  if (unproven.length) waits.push(`proof of safety for ${list(unproven)}`);
  return `${harmless(verdict)}${waits.length ? `, waiting for: ${list(waits)}` : ""}.`;
}

function harmless(verdict) {
  if (!verdict) return "No verdict yet";
  const by = (kind) =>
    verdict.figures.filter((figure) => guardState(figure) === kind).map((figure) => figure.guard);
  if (by("harm").length) return `Harm shown: ${list(by("harm"))}`;
  return by("suspicion").length
    ? `Harm suspected in ${list(by("suspicion"))}, so the rollout does not progress`
    : "Nothing harmful";
}

/** The author of a change in words; some are machines. */
export function actor(by) {
  return { judge: "the judge", keeper: "the keeper", serve: "the start of the server" }[by] ?? by;
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** The tab's title, with a mark while any rollout is in progress. */
export function title(model, view, rolling) {
  return `${rolling.length ? "● " : ""}${placed(model, view)}`;
}

function placed(model, view) {
  if (!view || over(view.rollout.phase)) return `${model} · Counterweight`;
  const { phase, step } = view.rollout;
  const share = phase === "WATCHING" ? percent(1) : step ? percent(shareAt(view.rollout, step)) : "shadow";
  return `${share} ${view.rollout.plan.candidate} · ${model}`;
}

/** The time that a rollout has used. */
export function timeSpent({ rollout }, now_s) {
  const spent = `${duration(now_s - rollout.started_s)} of ${duration(rollout.plan.policy.maximum_s)}`;
  return over(rollout.phase) ? null : spent;
}
