// Routes: as they are, and the form that sets others.

import { open } from "./dialog.js";
import { h } from "./dom.js";
import { ask, control } from "./server.js";
import { split } from "./shares.js";
import { list, percent } from "./words.js";

/** The routes in words, and the button that changes them unless a rollout does. */
export function routes(model, detail, running, desk) {
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
      ? h("p.soft", null, "A rollout moves them now. To set them by hand, abort it first.")
      : h("button", { type: "button", onclick: () => change(model, detail, desk) }, "Set routes …"),
  ];
}

function fact(name, value) {
  return [h("dt", null, name), h("dd", null, value)];
}

function change(model, detail, desk) {
  const names = Object.keys(detail.variants);
  return open({
    title: `Routes of ${model}`,
    content: fields(names, detail.routes),
    verb: "Set routes",
    stays: desk.stays,
    does: async (form) => {
      const body = { ...wanted(names, form), revision: detail.routes.revision };
      await ask(control("models", model, "routes"), { body, method: "PUT" });
      desk.tell(null);
      await desk.look();
    },
  });
}

function fields(names, { weights, shadows, sticky }) {
  const input = (kind, index, label, value, most) =>
    h("input", {
      type: "number",
      name: `${kind}-${index}`,
      "aria-label": label,
      min: 0,
      max: most,
      step: "any",
      required: true,
      value,
    });
  const rows = names.map((name, index) =>
    h(
      "tr",
      null,
      h("th", { scope: "row" }, name),
      h("td", null, input("weight", index, `Weight of ${name}`, weights[name] ?? 0)),
      h(
        "td",
        null,
        input(
          "copies",
          index,
          `Percent copied to ${name}`,
          Number((100 * (shadows[name] ?? 0)).toPrecision(9)),
          100,
        ),
      ),
    ),
  );
  return [
    h(
      "p.soft",
      null,
      "A variant's share is its weight over the sum of all. ",
      "A shadow gets copies of the requests that the baseline answered, and has weight 0.",
    ),
    h(
      "table.form",
      null,
      h(
        "thead",
        null,
        h(
          "tr",
          null,
          ["Variant", "Weight", "Copies, %"].map((head) => h("th", { scope: "col" }, head)),
        ),
      ),
      h("tbody", null, rows),
    ),
    h(
      "label",
      null,
      "Sticky header",
      h("input", { name: "sticky", required: true, value: sticky, spellcheck: "false" }),
    ),
  ];
}

function wanted(names, form) {
  const value = (name) => Number(form.elements[name].value);
  const weights = Object.fromEntries(names.map((name, index) => [name, value(`weight-${index}`)]));
  const copies = names
    .map((name, index) => [name, value(`copies-${index}`) / 100])
    .filter(([, share]) => share > 0);
  return { weights, shadows: Object.fromEntries(copies), sticky: form.elements.sticky.value };
}
