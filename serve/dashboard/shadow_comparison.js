// The agreement of the shadow's answers with the baseline's, and the latest pairs that differ.

import { h, s } from "./dom.js";
import { over } from "./rollout.js";
import { ago, count, exactPercent, plural, moment, percent, short } from "./format.js";

// The number of differing pairs that are shown; the others are folded.
const FEW = 6;
// Means over the requests; only those that the answers have are shown.
const MEANS = [
  { key: "cosine", head: "Cosine", format: (mean) => mean.toFixed(4) },
  { key: "kl", head: "KL, nats", format: short },
];

/** Agreement overall, per output and per slice, and what it means for the model's answers. */
export function likeness({ evidence, rollout }, { agreement }) {
  const { shadow, outputs, slices, dropped } = evidence;
  if (!shadow.pairs && !dropped) return h("p.empty", null, describeNoPairs(rollout));
  const floor = rollout.plan.policy.shadow.agreement;
  const groups = [
    ["All pairs", [["", shadow]]],
    ["By output", Object.entries(outputs)],
    ["By slice", Object.entries(slices)],
  ];
  const shown = MEANS.filter(({ key }) => shadow[key].count);
  const heads = ["Pairs", "Agreement", "Differ", "Failed", ...shown.map(({ head }) => head), "Largest difference"];
  return [
    agreement && h("p.meaning", null, capitalized(agreement), "."),
    h(
      "table.likeness",
      null,
      h(
        "thead",
        null,
        h(
          "tr",
          null,
          h("th", { scope: "col" }, h("span.unseen", null, "Output")),
          heads.map((head, index) => h(index === 1 ? "th" : "th.number", { scope: "col" }, head)),
        ),
      ),
      groups.filter(([, entries]) => entries.length).map(([title, entries]) => group(title, entries, floor, shown)),
    ),
    h(
      "p.dropped",
      null,
      dropped
        ? `${plural(dropped, "copy", "copies")} dropped, because the shadow could not keep up or was not running.`
        : "No copies were dropped.",
    ),
    shadow.explanation_overlap?.count ? h("p.explained", null, describeExplanations(shadow)) : null,
  ];
}

function describeExplanations({ explanation_overlap: overlap, explanation_rank: rank }) {
  const mean = (moments) => (moments.total / moments.count).toFixed(4);
  return (
    `Explanations of ${plural(overlap.count, "row")}: ${mean(overlap)} of the most important features are the ` +
    `baseline's, and the effects of all features have a rank correlation of ${mean(rank)}.`
  );
}

/** The agreement of variants that get copies without a rollout; no decision uses it. */
export function otherShadows({ routes, variants }, candidate) {
  return Object.keys(routes.shadows)
    .filter((name) => name !== candidate && variants[name])
    .map((name) => h("p.aside", { "data-key": name }, describeOtherShadow(name, routes.shadows[name], variants[name])));
}

function describeOtherShadow(name, share, { compared, disagreements: differ, dropped }) {
  const copied = `${name} gets copies of ${percent(share)} of the requests, without a rollout. `;
  const lost = dropped ? `; ${plural(dropped, "copy", "copies")} dropped` : "";
  if (!compared) return `${copied}No pairs yet: only requests that the baseline answers are compared${lost}.`;
  const agree = compared - differ;
  return [
    copied,
    h("b", null, `${exactPercent(agree / compared)} agree`),
    `: ${count(agree)} of ${plural(compared, "pair")}${lost}.`,
  ];
}

function capitalized(words) {
  return words[0].toUpperCase() + words.slice(1);
}

function describeNoPairs({ plan, phase }) {
  if (plan.policy.shadow.skip)
    return over(phase)
      ? "This rollout had no shadow, so nothing was compared."
      : "The policy skips the shadow, so nothing is compared.";
  return phase === "SHADOW"
    ? "No pairs yet: only requests that the baseline answers are compared."
    : "No pairs were compared.";
}

function group(title, entries, floor, shown) {
  const rows = entries.map(([name, comparison]) =>
    row(name || title, name ? "th.sub" : "th", comparison, { floor, shown }),
  );
  const head = entries[0][0]
    ? h("tr.group", null, h("th", { colspan: 6 + shown.length, scope: "colgroup" }, title))
    : null;
  return h("tbody", { "data-key": title }, head, rows);
}

function row(name, tag, comparison, { floor, shown }) {
  const { pairs, disagreements, failures, largest_difference } = comparison;
  const number = (label, text) => h("td.number", { "data-label": label }, text);
  return h(
    "tr",
    { "data-key": name },
    h(tag, { scope: "row" }, name),
    number("Pairs", count(pairs)),
    h("td", { "data-label": "Agreement" }, pairs ? agreement(1 - disagreements / pairs, floor) : "–"),
    number("Differ", count(disagreements)),
    number("Failed", count(failures)),
    shown.map(({ key, head, format }) => {
      const { count: requests, total } = comparison[key];
      return number(head, requests ? format(total / requests) : "–");
    }),
    number("Largest", pairs ? short(largest_difference) : "–"),
  );
}

/** A dot on a scale that ends at 100 %, with the floor as a line, and a text if it is below the floor. */
function agreement(share, floor) {
  // The floor is always drawn at two thirds.
  const least = 1 - 3 * (1 - floor);
  const place = (value) => `${(Math.max(0, (value - least) / (1 - least)) * 96 + 2).toFixed(1)}%`;
  const below = share < floor;
  return h(
    "div.agreement",
    null,
    h("b", null, exactPercent(share)),
    below && h("span.below", null, "below the floor"),
    s(
      "svg",
      {
        role: "img",
        "aria-label": `${exactPercent(share)} agree, required ${exactPercent(floor)}`,
        width: "100%",
        height: 12,
      },
      s("rect.rail", { y: 5, width: "100%", height: 2 }),
      s(
        "line.floor",
        { x1: place(floor), x2: place(floor), y1: 0, y2: 12 },
        s("title", null, `floor ${exactPercent(floor)}`),
      ),
      s(`circle.dot${below ? ".below" : ""}`, { cx: place(share), cy: 6, r: 4 }),
    ),
  );
}

/** The latest pairs that differ, newest first. */
export function disagreements({ disagreements: pairs, evidence }, now_s) {
  if (!pairs.length)
    return h(
      "p.empty",
      null,
      evidence.shadow.disagreements
        ? "They are kept only while the rollout is in progress."
        : "No pairs differ.",
    );
  const [first, rest] = [pairs.slice(0, FEW), pairs.slice(FEW)];
  return [
    pairTable(first, now_s),
    rest.length > 0 &&
      h("details", null, h("summary", null, plural(rest.length, "older pair")), pairTable(rest, now_s)),
  ];
}

function pairTable(pairs, now_s) {
  const heads = ["When", "Slice", "Output", "Baseline said", "Candidate said", "Request"];
  return h(
    "table.pairs",
    null,
    h(
      "thead",
      null,
      h(
        "tr",
        null,
        heads.map((head) => h("th", { scope: "col" }, head)),
      ),
    ),
    h(
      "tbody",
      null,
      pairs.map((pair) => pairRow(pair, now_s)),
    ),
  );
}

function pairRow(pair, now_s) {
  const cell = (label, content) => h("td", { "data-label": label }, content);
  return h(
    "tr",
    { "data-key": `${pair.request_id} ${pair.output}` },
    cell("When", h("time", { title: moment(pair.at_s) }, ago(pair.at_s, now_s))),
    cell("Slice", pair.slice ?? "–"),
    cell("Output", pair.output),
    cell("Baseline said", h("b", null, pair.baseline)),
    cell("Candidate said", h("b", null, pair.candidate)),
    cell("Request", h("code", null, pair.request_id)),
  );
}
