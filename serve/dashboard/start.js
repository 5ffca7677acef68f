// Start: the form that begins a rollout.

import { open } from "./dialog.js";
import { h } from "./dom.js";
import { ask, control } from "./server.js";

const DEFAULT =
  "In the shadow until 1\u202f000 pairs agree, then 1, 5, 25, 50 and 100\u202f% of the traffic, " +
  "each for at least a minute and 1\u202f000 requests; rolled back when harm is shown.";

/** Asks for the candidate and the policy, and starts. */
export function start(model, detail, desk) {
  const candidates = Object.keys(detail.variants)
    .filter((name) => name !== detail.routes.baseline)
    .sort();
  return open({
    title: `Start a rollout of ${model}`,
    content: fields(detail.routes.baseline, candidates),
    verb: "Start",
    stays: desk.stays,
    does: async (form) => {
      const candidate = form.elements.candidate.value;
      await ask(control("models", model, "rollouts"), { body: { candidate, ...policyOf(form) } });
      desk.tell(null);
      await desk.go(model, null);
    },
  });
}

function fields(baseline, candidates) {
  const policy = h("textarea", {
    name: "policy",
    rows: 8,
    spellcheck: "false",
    disabled: true,
    "aria-label": "Policy as JSON",
    placeholder: '{"steps": [{"share": 0.1}, {"share": 1.0}]}',
  });
  const own = (is) => () => {
    policy.disabled = !is;
    if (is) policy.focus();
  };
  const radio = (value, is) =>
    h("input", { type: "radio", name: "which", value, checked: !is, onchange: own(is) });
  return [
    h(
      "label",
      null,
      `From ${baseline} to`,
      h(
        "select",
        { name: "candidate", required: true },
        candidates.map((name) => h("option", null, name)),
      ),
    ),
    h(
      "fieldset",
      null,
      h("legend", null, "Policy"),
      h(
        "label.choice",
        null,
        radio("default", false),
        h("span", null, h("b", null, "The default. "), DEFAULT),
      ),
      h(
        "label.choice",
        null,
        radio("own", true),
        h("span", null, h("b", null, "My own, as JSON. "), "What it leaves out is as in the default."),
      ),
      policy,
    ),
  ];
}

function policyOf(form) {
  if (form.elements.which.value === "default") return {};
  try {
    return { policy: JSON.parse(form.elements.policy.value) };
  } catch (error) {
    throw new Error(`The policy is not JSON: ${error.message}`);
  }
}
