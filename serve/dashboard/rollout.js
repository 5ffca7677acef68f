// The state of a rollout, computed from its view as in serve/rollout/state/rollout.py.

const OVER = ["DONE", "ROLLED_BACK", "INCONCLUSIVE"];

/** The phases in words, for badges. */
export const PHASES = {
  SHADOW: "In the shadow",
  STEP: "Rolling out",
  WAITING_APPROVAL: "Waiting for approval",
  PAUSED: "Paused",
  WATCHING: "Watched",
  DONE: "Done",
  ROLLED_BACK: "Rolled back",
  INCONCLUSIVE: "No decision",
};

/** Whether this is a final phase. */
export function over(phase) {
  return OVER.includes(phase);
}

/** The candidate's share of the requests in a step, 0 to 1; step 0 is the shadow. */
export function shareAt(rollout, step) {
  const { steps, holdback } = rollout.plan.policy;
  if (!step) return 0;
  if (step < steps.length) return steps[step - 1].share;
  return 1 - Math.min(holdback, (1 - steps[steps.length - 2].share) / 2);
}

/** What follows a promotion in the last step or in the watch. */
export function finish(rollout) {
  return rollout.phase !== "WATCHING" && rollout.plan.policy.watch_s ? "watch" : "end";
}

/** The step after a promotion; null if it ends the rollout. */
export function nextStep(rollout) {
  return rollout.step < rollout.plan.policy.steps.length ? rollout.step + 1 : null;
}

/** What this step needs and has: [{name, has, needs, unit}], with the time up to `now_s`. */
export function needs(view, now_s) {
  const { rollout, evidence } = view;
  if (!rollout.step) {
    return [
      {
        name: "Pairs",
        has: evidence.shadow.pairs,
        needs: rollout.plan.policy.shadow.minimum_pairs,
        unit: "",
      },
    ];
  }
  if (rollout.phase === "WATCHING") {
    const watched_s = Math.max(0, now_s - rollout.entered_s);
    return [{ name: "Watch", has: watched_s, needs: rollout.plan.policy.watch_s, unit: "s" }];
  }
  const step = rollout.plan.policy.steps[rollout.step - 1];
  const here = evidence.segments.filter((segment) => segment.step === rollout.step);
  const requests = here.reduce((sum, { requests: { baseline, candidate } }) => sum + baseline + candidate, 0);
  return [
    { name: "Time", has: Math.max(0, now_s - rollout.entered_s), needs: step.minimum_s, unit: "s" },
    { name: "Requests", has: requests, needs: step.minimum_requests, unit: "" },
  ];
}

/** The missing parts of a verdict, each in its full text. */
export function missing(verdict) {
  const [, items] = /^(?:at [\d.]+ % of the traffic|in the shadow): (.*)$/s.exec(verdict.reason) ?? [
    null,
    verdict.reason,
  ];
  // The text of a guard may contain a semicolon.
  return items.split(
    /; (?=[\d,]+ of [\d,]+ (?:s|pairs|requests)\b|suspected harm, |suspicion, |no latency limit|[\w ]+ unproven: )/,
  );
}

/** The same for one sentence: counts as they are, and the guards of which a proof is missing. */
export function missingInShort(verdict) {
  const counts = [];
  const unproven = [];
  for (const item of missing(verdict)) {
    const proof = /^([\w ]+) unproven: /.exec(item);
    if (proof) unproven.push(proof[1]);
    else if (!/^(suspected harm|suspicion), /.test(item)) counts.push(item);
  }
  return { counts, unproven };
}
