// The form that starts a rollout.

import { open } from "./dialog.js";
import { h } from "./dom.js";
import { ask, control } from "./server.js";

const DEFAULT =
  "Shadow until 1\u202f000 pairs agree, then 1, 5, 25, 50 and 100\u202f% of the traffic, " +
  "each for at least a minute and 1\u202f000 requests; rolled back if harm is shown.";

/** Ask for the candidate and the policy, and start the rollout. */
export function start(model, detail, page) {
  const candidates = Object.keys(detail.variants)
    .filter((name) => name !== detail.routes.baseline)
    .sort();
  return open({
    title: `Start a rollout of ${model}`,
    content: fields(detail.routes.baseline, candidates),
    verb: "Start",
    stays: page.stays,
    does: async (form) => {
      const candidate = form.elements.candidate.value;
      await ask(control("models", model, "rollouts"), { body: { candidate, ...policyOf(form) } });
      page.notify(null);
      await page.go(model, null);
    },
  });
}

function fields(baseline, candidates) {
  const options = candidates.map((name) => h("option", null, name));
  return [
    h("label", null, `From ${baseline} to`, h("select", { name: "candidate", required: true }, options)),
    policyFields(),
  ];
}

function policyFields() {
  const policy = h("textarea", {
    name: "policy",
    rows: 8,
    spellcheck: "false",
    disabled: true,
    "aria-label": "Policy as JSON",
    placeholder: '{"steps": [{"share": 0.1}, {"share": 1.0}]}',
  });
  const choice = (value, own, ...words) => {
    const onchange = () => {
      policy.disabled = !own;
      if (own) policy.focus();
    };
    const radio = h("input", { type: "radio", name: "which", value, checked: !own, onchange });
    return h("label.choice", null, radio, h("span", null, words));
  };
  return h(
    "fieldset",
    null,
    h("legend", null, "Policy"),
    choice("default", false, h("b", null, "The default. "), DEFAULT),
    choice("own", true, h("b", null, "My own, as JSON. "), "Missing settings have their defaults."),
    policy,
  );
}

function policyOf(form) {
  if (form.elements.which.value === "default") return {};
  try {
    return { policy: JSON.parse(form.elements.policy.value) };
  } catch (error) {
    throw new Error(`The policy is not JSON: ${error.message}`);
  }
}
