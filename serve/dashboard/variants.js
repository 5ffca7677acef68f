// The share, errors and latency of each variant.

import { h, s } from "./dom.js";
import { over } from "./rollout.js";
import { count, exactMs, exactPercent, percent } from "./format.js";

const RECENT = 60;

/** Names in the order of the page, each with its line style: the baseline, the candidate, the others. */
export function lineStyles(detail, view) {
  const { baseline } = detail.routes;
  const candidate = view && view.rollout.plan.candidate;
  const rest = Object.keys(detail.variants)
    .filter((name) => name !== baseline && name !== candidate)
    .sort();
  const names = [baseline, ...(candidate && candidate !== baseline ? [candidate] : []), ...rest];
  return new Map(
    names.map((name, index) => [name, `v${Math.min(candidate || !index ? index : index + 1, 5)}`]),
  );
}

/** A short stroke in a variant's colour and dashes. */
export function swatch(style) {
  return s(
    "svg.swatch",
    { viewBox: "0 0 24 8", "aria-hidden": "true" },
    s(`line.${style}`, { x1: 1, x2: 23, y1: 4, y2: 4 }),
  );
}

/** Each variant's measured share of the requests, 0 to 1, and the period in words. */
export function served(detail, view, curves) {
  if (view && !over(view.rollout.phase) && view.served !== null) {
    const { baseline, candidate } = view.rollout.plan;
    return {
      shares: { [baseline]: 1 - view.served, [candidate]: view.served },
      over: "since the last change",
    };
  }
  const since = curves ? curves.at_s.at(-1) - RECENT : 0;
  const sums = {};
  for (const [name, curve] of Object.entries(curves?.variants ?? {})) {
    sums[name] = curve.requests_per_s.reduce(
      (sum, rate, index) => sum + (curves.at_s[index] > since ? rate : 0),
      0,
    );
  }
  const total = Object.values(sums).reduce((sum, rate) => sum + rate, 0);
  const shares = Object.fromEntries(
    Object.entries(sums).map(([name, sum]) => [name, total ? sum / total : null]),
  );
  return { shares, over: "in the last minute" };
}

/** The table. */
export function variants(detail, view, curves) {
  const { shares, over: span } = served(detail, view, curves);
  const rows = [...lineStyles(detail, view)].map(([name, style]) => row(name, style, detail, view, shares[name]));
  const heads = ["Variant", `Share ${span}`, "Requests", "Errors", "p50", "p99"];
  return h(
    "table.variants",
    null,
    h(
      "thead",
      null,
      h(
        "tr",
        null,
        heads.map((head, index) => h(index > 1 ? "th.number" : "th", { scope: "col" }, head)),
      ),
    ),
    h("tbody", null, rows),
  );
}

function row(name, style, { variants: all, routes }, view, share) {
  const variant = all[name] ?? { share: 0, requests: 0, errors: 0, p50_ms: null, p99_ms: null, ready: false };
  return h(
    "tr",
    { "data-key": name },
    h(
      "th",
      { scope: "row" },
      h("span.name", null, swatch(style), name),
      h("span.role", null, role(name, routes, view, variant.unproven)),
      ready(variant.ready),
    ),
    h("td", { "data-label": "Share" }, shareBar(style, variant.share, share ?? null)),
    h("td.number", { "data-label": "Requests" }, count(variant.requests)),
    h("td.number", { "data-label": "Errors" }, errors(variant)),
    h("td.number", { "data-label": "p50" }, exactMs(variant.p50_ms)),
    h("td.number", { "data-label": "p99" }, exactMs(variant.p99_ms)),
  );
}

function role(name, routes, view, unproven) {
  const parts = [];
  if (name === routes.baseline) parts.push("baseline");
  if (view && !over(view.rollout.phase) && name === view.rollout.plan.candidate) parts.push("candidate");
  if (unproven) parts.push("unproven: not measured on real held-out rows");
  if (routes.shadows[name]) parts.push(`shadow, ${percent(routes.shadows[name])} copied`);
  return parts.join(", ");
}

function ready(is) {
  return is ? h("span.ready", null, "ready") : h("span.unready", null, "not ready");
}

function errors({ errors: failed, requests }) {
  return failed ? [count(failed), h("small", null, exactPercent(failed / requests))] : count(failed);
}

/** The measured share as a bar with the configured share as a line, both also in words. */
function shareBar(style, configured, share) {
  const words = share === null ? "nothing served" : `${percent(share)} served`;
  const at = `${(configured * 100).toFixed(2)}%`;
  return h(
    "div.sharebar",
    null,
    s(
      "svg",
      { role: "img", "aria-label": `${percent(configured)} configured, ${words}`, width: "100%", height: 16 },
      s("rect.rail", { y: 3, width: "100%", height: 10, rx: 2 }),
      s(`rect.${style}`, { y: 3, width: `${((share ?? 0) * 100).toFixed(2)}%`, height: 10, rx: 2 }),
      s("line.asked", { x1: at, x2: at, y1: 0, y2: 16 }),
    ),
    h("span.words", null, h("b", null, percent(configured)), " configured, ", words),
  );
}
