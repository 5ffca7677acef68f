// Access: the token, asked for when the server wants one, and kept in this tab only.

import { open } from "./dialog.js";
import { h } from "./dom.js";
import { token, useToken } from "./server.js";

/** Asks for the token; `then` is called when it has changed. */
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
      h("p.soft", null, "It is kept in this tab until the tab is closed. Leave it empty to forget it."),
    ],
    verb: "Use it",
    does: async (form) => {
      useToken(form.elements.token.value.trim());
      await then();
    },
  });
}
