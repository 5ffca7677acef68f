// The state of a guard's evidence, as in serve/rollout/judging/guard_figure.py.

/** "harm", "suspicion", "proven", or "open" while the evidence has reached no threshold. */
export function guardState(figure) {
  if (reached(figure.harm, figure.harm_at)) return "harm";
  if (reached(figure.harm, figure.safe_at)) return "suspicion";
  if (reached(figure.safe, figure.safe_at)) return "proven";
  return "open";
}

function reached(evidence, line) {
  return isKnown(evidence) && isKnown(line) && evidence >= line;
}

/** Evidence relative to its threshold, 1 at the threshold; null if there is none. */
export function progress(evidence, line) {
  return isKnown(evidence) && isKnown(line) ? Math.max(0, evidence / line) : null;
}

function isKnown(value) {
  return value !== null && value !== undefined;
}

/** What the estimate is measured against, and the ratio that still counts as safe; null: nothing is known.
 * A share of pairs is seen as a multiple of what the policy allows, so that 1 is the line for all. */
export function scale(figure, policy) {
  const { guard } = figure;
  if (guard === "disagreement")
    return { per: 1 - policy.shadow.agreement, of: "times the allowed share", safe: null };
  if (guard === "cost") {
    const safe = policy.cheaper_by === null ? null : 1 - policy.cheaper_by;
    return { per: 1, of: "times the baseline's cost", safe };
  }
  const guarded = policy.guards[guard];
  return guarded ? { per: 1, of: "times the baseline's rate", safe: guarded.tolerance } : null;
}
