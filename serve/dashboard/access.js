// The dialog for the token, which the page asks for if the server needs one, and keeps only in this tab.

import { open } from "./dialog.js";
import { h } from "./dom.js";
import { token, useToken } from "./server.js";

/** Ask for the token; calls `then` when it has changed. */
export function askForToken(why, then) {
  const known = token();
  const field = h("input", {
    type: "password",
    name: "token",
    autocomplete: "off",
    "aria-label": "Token",
    value: known,
  });
  return open({
    title: "Token",
    content: [
      h("p", null, why),
      h("label", null, "Token", field),
      h("p.soft", null, "It is kept until this tab is closed. Leave it empty to remove it."),
    ],
    verb: "Use it",
    does: async (form) => {
      useToken(form.elements.token.value.trim());
      await then();
    },
  });
}
