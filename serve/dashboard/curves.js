// Charts of the latency, errors and requests of each variant over the last ten minutes.

import { chart } from "./chart.js";
import { h } from "./dom.js";
import { ago, duration, exactPercent, ms, short } from "./format.js";
import { lineStyles, swatch } from "./variants.js";

// Errors are averaged over this time, because one failure among few requests would look like a catastrophe.
const ERRORS_S = 30;

// The moment under the pointer, as a share of the width, in all charts at once.
let pointed = null;

/** The charts. `redraw` is called when the pointer moves. */
export function curves(detail, view, series, trail, now_s, redraw) {
  const names = series ? [...lineStyles(detail, view)].filter(([name]) => busy(series.variants[name])) : [];
  if (!names.length) return h("p.empty", null, "No requests in the last ten minutes.");
  const point = (share) => {
    pointed = share;
    redraw();
  };
  const at = pointed === null ? null : Math.round(pointed * (series.at_s.length - 1));
  const shared = { at_s: series.at_s, at, point, marks: marks(trail, series.at_s), limit: null };
  const swatches = names.map(([name, style]) => h("span", null, swatch(style), name));
  const keys = {
    tabindex: 0,
    role: "group",
    "aria-label": "Charts; use the arrow keys to move through time",
    onkeydown: (event) => walk(event, series.at_s.length, point),
  };
  const began = ago(series.at_s[0], now_s);
  return [
    h("p.legend", null, swatches, h("span.when", null, when(series, at, now_s))),
    h("div.charts", keys, charts(names, series, shared, limitOfP99(view))),
    h("p.axis", { "aria-hidden": "true" }, h("span", null, began), h("span", null, "now")),
  ];
}

function charts(names, series, shared, limit) {
  const lines = (values) =>
    names.map(([name, style]) => ({ name, style, values: values(series.variants[name]) }));
  const errors = {
    title: `Errors, mean of ${ERRORS_S}\u202fs`,
    say: exactPercent,
    least: 0.01,
    lines: lines((curve) => errorShare(curve, series.at_s)),
  };
  const requests = {
    title: "Requests per second",
    say: short,
    lines: lines((curve) => curve.requests_per_s),
  };
  return [
    chart({ ...shared, title: "p99", say: ms, lines: lines((curve) => curve.p99_ms), limit }),
    chart({ ...shared, ...errors }),
    chart({ ...shared, title: "p50", say: ms, lines: lines((curve) => curve.p50_ms) }),
    chart({ ...shared, ...requests }),
  ];
}

function busy(curve) {
  return curve && curve.requests_per_s.some((rate) => rate > 0);
}

function errorShare({ requests_per_s, errors_per_s }, at_s) {
  const sumAt = (values, index) =>
    values.reduce((sum, value, other) => sum + (near(at_s[other], at_s[index]) ? value : 0), 0);
  return requests_per_s.map((_, index) => {
    const requests = sumAt(requests_per_s, index);
    return requests > 0 ? Math.min(1, sumAt(errors_per_s, index) / requests) : null;
  });
}

function near(before_s, at_s) {
  return before_s <= at_s && before_s > at_s - ERRORS_S;
}

/** The rollout's latency limit, if it applies to the quantile in the chart. */
function limitOfP99(view) {
  return view && view.rollout.plan.policy.guards.latency.quantile === 0.99 ? view.rollout.limit_ms : null;
}

function marks(trail, at_s) {
  const moved = trail.filter((entry) => entry.routes && entry.at_s >= at_s[0]);
  return moved.map((entry) => ({
    at_s: Math.min(entry.at_s, at_s.at(-1)),
    text: `${entry.action}: ${entry.reason}`,
  }));
}

function when(series, at, now_s) {
  return at === null ? "now" : `${duration(now_s - series.at_s[at])} ago`;
}

function walk(event, moments, point) {
  const steps = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (event.key === "Escape") point(null);
  if (!steps) return;
  event.preventDefault();
  point(Math.min(1, Math.max(0, (pointed ?? 1) + steps / Math.max(1, moments - 1))));
}
