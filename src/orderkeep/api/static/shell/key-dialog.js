/** Asks the reader for an access key, where the service wants one. */

import { button, byId, element, fill } from "../base/dom.js";
import { t } from "../base/language.js";
import { askBy } from "../service/key.js";

export function startKeyDialog() {
  askBy(ask);
}

/**
 * @param {boolean} refused  there was a key, and the service does not take it
 * @returns {Promise<string|null>}
 */
export function ask(refused) {
  const dialog = /** @type {HTMLDialogElement} */ (byId("key"));
  return new Promise((resolve) => {
    const field = /** @type {HTMLInputElement} */ (element("input", {
      id: "key-field", type: "password", autocomplete: "off", required: true, spellcheck: "false",
      "aria-describedby": "key-note",
    }));
    const submit = (/** @type {Event} */ event) => {
      event.preventDefault();
      dialog.close(field.value.trim());
    };
    fill(dialog, element("form", { onsubmit: submit },
      element("h2", { id: "key-title" }, t("key.title")),
      element("p", { id: "key-note" }, t(refused ? "key.refused" : "key.wanted")),
      element("label", { for: "key-field" }, t("key.label")),
      field,
      element("div", { class: "buttons" },
        button(t("key.cancel"), () => dialog.close(""), { class: "quiet" }),
        element("button", { type: "submit" }, t("key.use")))));
    dialog.returnValue = "";
    dialog.addEventListener("close", () => {
      resolve(dialog.returnValue || null);
      fill(dialog);
    }, { once: true });
    dialog.showModal();
    field.focus();
  });
}
