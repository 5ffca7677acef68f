// The trail of the model, newest first; verdicts that changed nothing are grouped.

import { h } from "./dom.js";
import { PHASES } from "./rollout.js";
import { actor } from "./sentence.js";
import { split } from "./shares.js";
import { ago, count, plural, moment, percent, formatNumbers } from "./format.js";

const PROOF = /^(.*?): (.*)$/s;
const ACTIONS = ["started", "paused", "resumed", "promoted", "approved", "aborted", "accepted as the baseline"];

/** The entries of the shown rollout, qualifications that came before it, and what was done to the routes
 * since, or all where none is shown. */
export function entriesOf(trail, view, newest) {
  if (!view) return trail;
  const id = view.rollout.rollout;
  const first = trail.findIndex((entry) => entry.rollout === id);
  const last = trail.findLastIndex((entry) => entry.rollout === id);
  const before = trail.findLastIndex((entry, index) => index < first && entry.rollout !== null);
  return trail.filter(
    (entry, index) =>
      entry.rollout === id ||
      (entry.action === "qualify" && index > before && index < first) ||
      (newest && index > last && entry.rollout === null),
  );
}

/** The list. `earlier` loads more entries; null if there are none. */
export function trail(entries, now_s, earlier) {
  if (!entries.length)
    return h(
      "p.empty",
      null,
      "The timeline is empty: the first rollout or change of routes will be shown here.",
    );
  const folds = fold(entries).reverse();
  return [
    h(
      "ol.trail",
      { reversed: true, tabindex: 0, "aria-label": "Trail, newest first" },
      folds.map((entries) => item(entries, now_s)),
    ),
    earlier && h("button.quiet", { type: "button", onclick: earlier }, "Show earlier entries"),
  ];
}

/** Group the entries: equal verdicts that change nothing are in one group. */
function fold(entries) {
  const folds = [];
  for (const entry of entries) {
    const last = folds.at(-1)?.at(-1);
    const same = last && ["kind", "step", "phase"].every((name) => last[name] === entry[name]);
    if (same && entry.kind) folds.at(-1).push(entry);
    else folds.push([entry]);
  }
  return folds;
}

function item(entries, now_s) {
  const entry = entries.at(-1);
  return h(
    `li.entry.did-${entry.kind ?? entry.action}`,
    { "data-key": String(entries[0].number) },
    h(
      "div.head",
      null,
      h("b", null, what(entry)),
      entries.length > 1 && h("span.times", null, `× ${count(entries.length)}`),
      time(entry, now_s),
    ),
    h("p.reason", null, why(entry)),
    entry.kind === "PROMOTE" && proof(entry),
    entries.length > 1 && earlierOnes(entries, now_s),
  );
}

/** The author, and the reason if the heading does not show it. */
function why(entry) {
  const hasReason = entry.kind === "PROMOTE" || ACTIONS.includes(entry.reason);
  return hasReason ? `by ${actor(entry.by)}` : `by ${actor(entry.by)}: ${reason(entry)}`;
}

/** The evidence of a promotion is long, so it is folded. */
function proof(entry) {
  const [, head, figures] = PROOF.exec(entry.reason) ?? [null, entry.reason, ""];
  return h(
    "details",
    null,
    h("summary", null, formatNumbers(head)),
    h(
      "ul.earlier",
      null,
      figures.split(/; (?=[\w ]+: )/).map((item) => h("li", null, formatNumbers(item))),
    ),
  );
}

function earlierOnes(entries, now_s) {
  const before = entries.slice(0, -1).reverse();
  return h(
    "details",
    null,
    h("summary", null, plural(before.length, "earlier entry like this", "earlier entries like this")),
    h(
      "ol.earlier",
      { reversed: true },
      before.map((entry) =>
        h("li", { "data-key": String(entry.number) }, time(entry, now_s), " ", reason(entry)),
      ),
    ),
  );
}

function time(entry, now_s) {
  return h(
    "time",
    {
      datetime: new Date(entry.at_s * 1000).toISOString(),
      title: `${moment(entry.at_s)}, entry ${entry.number}, ${entry.digest.slice(0, 12)}`,
    },
    ago(entry.at_s, now_s),
  );
}

function what(entry) {
  const where = entry.step ? percent(entry.share) : "the shadow";
  const at = entry.step ? `at ${where}` : `in ${where}`;
  switch (entry.action) {
    case "verdict":
      return entry.kind === "PROMOTE" && entry.phase === "STEP"
        ? `PROMOTE to ${where}`
        : `${entry.kind}${ending(entry.phase)}`;
    case "start":
      return "Started";
    case "limit":
      return "Latency limit set";
    case "promote":
      return entry.phase === "DONE"
        ? "Promoted: done"
        : `${entry.reason === "approved" ? "Approved" : "Promoted"} to ${where}`;
    case "pause":
      return `Paused ${at}`;
    case "resume":
      return `Resumed ${at}`;
    case "abort":
      return "Aborted";
    case "accept":
      return "Accepted as the baseline";
    case "qualify":
      return "Qualification";
    default:
      return "Routes set";
  }
}

function ending(phase) {
  return phase === "STEP" || phase === "SHADOW" ? "" : `: ${PHASES[phase].toLowerCase()}`;
}

function reason(entry) {
  if (entry.action !== "routes" || !entry.routes) return formatNumbers(entry.reason);
  const shadows = Object.entries(entry.routes.shadows).map(
    ([name, share]) => `, ${percent(share)} copied to ${name}`,
  );
  return split(entry.routes) + shadows.join("");
}
