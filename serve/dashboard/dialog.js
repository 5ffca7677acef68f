// A dialog that asks for confirmation, and shows the error if the server refuses.

import { h } from "./dom.js";

/** Open a dialog. `does` gets the form and resolves on success; an error that it throws is shown, and the
 * dialog stays, unless it returns false from `stays`. `careful`: Cancel has the focus, or else what comes
 * first. Resolves when the dialog is closed. */
export function open({ title, content, verb, tone = "", careful = false, does, stays = () => true }) {
  const fault = h("p.fault", { role: "alert" });
  const submit = h(`button.main${tone && `.${tone}`}`, { type: "submit" }, verb);
  const cancel = h(
    "button",
    { type: "button", autofocus: careful, onclick: () => box.close() },
    "Cancel",
  );
  const form = h(
    "form",
    null,
    h("h2", null, title),
    content,
    fault,
    h("div.choices", null, cancel, submit),
  );
  const box = h("dialog", { "aria-label": title }, form);
  form.onsubmit = async (event) => {
    event.preventDefault();
    submit.disabled = true;
    fault.textContent = "";
    try {
      await does(form);
      box.close();
    } catch (error) {
      if (stays(error)) fault.textContent = error.message;
      else box.close();
    } finally {
      submit.disabled = false;
    }
  };
  document.body.append(box);
  box.showModal();
  return new Promise((resolve) => {
    box.addEventListener("close", () => {
      box.remove();
      resolve();
    });
  });
}
