// The routes, and the form that changes them.

import { open } from "./dialog.js";
import { h } from "./dom.js";
import { ask, control } from "./server.js";
import { moved, split } from "./shares.js";
import { list, percent } from "./format.js";

// Moving more than this share of the traffic at once needs a second press.
const MOST_AT_ONCE = 0.5;

/** The routes in words, and the button to change them if no rollout is in progress. */
export function routes(model, detail, running, page) {
  const { routes: now } = detail;
  const shadows = Object.entries(now.shadows).map(([name, share]) => `${percent(share)} to ${name}`);
  return [
    h(
      "dl.facts",
      null,
      fact("Weights", split(now)),
      fact("Copies", shadows.length ? list(shadows) : "none"),
      fact("Sticky header", h("code", null, now.sticky)),
      fact("Revision", String(now.revision)),
    ),
    running
      ? h("p.soft", null, "A rollout is in progress. To set the routes by hand, abort it first.")
      : h("button", { type: "button", onclick: () => change(model, detail, page) }, "Set routes …"),
  ];
}

function fact(name, value) {
  return [h("dt", null, name), h("dd", null, value)];
}

function change(model, detail, page) {
  const names = Object.keys(detail.variants);
  // The change that moves more than half of the traffic and needs a second press.
  let confirmed = null;
  return open({
    title: `Routes of ${model}`,
    content: fields(names, detail.routes),
    verb: "Set routes",
    stays: page.stays,
    does: async (form) => {
      const body = { ...readChange(names, form), revision: detail.routes.revision };
      const much = moved(detail.routes.weights, body.weights);
      const weights = JSON.stringify(body.weights);
      if (much > MOST_AT_ONCE && confirmed !== weights) {
        confirmed = weights;
        throw new Error(`This moves ${percent(much)} of the traffic at once. Press again to confirm.`);
      }
      await ask(control("models", model, "routes"), { body, method: "PUT" });
      page.notify(null);
      await page.reload();
    },
  });
}

function fields(names, { weights, shadows, sticky }) {
  const heads = ["Variant", "Weight", "Copies, %"].map((head) => h("th", { scope: "col" }, head));
  const rows = names.map((name, index) => row(name, index, weights[name] ?? 0, shadows[name] ?? 0));
  const header = h("input", { name: "sticky", required: true, value: sticky, spellcheck: "false" });
  return [
    h(
      "p.soft",
      null,
      "The share of a variant is its weight divided by the sum of all weights. ",
      "A shadow gets copies of the requests that the baseline answers, and has weight 0.",
    ),
    h("table.form", null, h("thead", null, h("tr", null, heads)), h("tbody", null, rows)),
    h("label", null, "Sticky header", header),
  ];
}

function row(name, index, weight, share) {
  const shared = { type: "number", min: 0, step: "any", required: true };
  const weights = { name: `weight-${index}`, "aria-label": `Weight of ${name}`, value: weight };
  // Otherwise 0.29 would be 28.999999999999996 %.
  const percent = Number((100 * share).toPrecision(9));
  const copies = {
    name: `copies-${index}`,
    "aria-label": `Percent copied to ${name}`,
    value: percent,
    max: 100,
  };
  return h(
    "tr",
    null,
    h("th", { scope: "row" }, name),
    h("td", null, h("input", { ...shared, ...weights })),
    h("td", null, h("input", { ...shared, ...copies })),
  );
}

function readChange(names, form) {
  const value = (name) => Number(form.elements[name].value);
  const weights = Object.fromEntries(names.map((name, index) => [name, value(`weight-${index}`)]));
  const copies = names
    .map((name, index) => [name, value(`copies-${index}`) / 100])
    .filter(([, share]) => share > 0);
  return { weights, shadows: Object.fromEntries(copies), sticky: form.elements.sticky.value };
}
