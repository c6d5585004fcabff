/** The panel with what a reader can choose: language, theme, the shortcut, the key of this tab. */

import { button, byId, element, fill } from "../base/dom.js";
import { LANGUAGES, language, setLanguage, t } from "../base/language.js";
import { THEMES, preferences, setSlashSearches, setTheme, slashSearches, theme } from "../base/preferences.js";
import { key, keys, setKey } from "../service/key.js";
import { ask } from "./key-dialog.js";

export function startPreferences() {
  const panel = byId("preferences");
  const draw = () => fill(panel,
    choice("preferences.language", "language", Object.entries(LANGUAGES), language(), setLanguage),
    choice("preferences.theme", "theme", THEMES.map((name) => [name, t(`theme.${name}`)]), theme(), setTheme),
    shortcut(),
    access(),
    element("p", {}, element("a", { href: "/docs" }, t("preferences.api"))));
  draw();
  // The radio button that was used stays where it is, or the keyboard would lose its place.
  preferences.addEventListener("language", () => {
    draw();
    /** @type {HTMLElement|null} */ (panel.querySelector('input[name="language"]:checked'))?.focus();
  });
  keys.addEventListener("key", draw);
}

/**
 * @param {string} title @param {string} name @param {string[][]} options @param {string} chosen
 * @param {(value: string) => void} choose
 */
function choice(title, name, options, chosen, choose) {
  const radios = options.map(([value, label]) => element("label", { lang: name === "language" && value },
    element("input", { type: "radio", name, value, checked: value === chosen, onchange: () => choose(value) }),
    element("span", {}, label)));
  return element("fieldset", { class: "choice" }, element("legend", {}, t(title)), element("div", {}, ...radios));
}

function shortcut() {
  const box = /** @type {HTMLInputElement} */ (element("input", {
    type: "checkbox", checked: slashSearches(), onchange: () => setSlashSearches(box.checked),
  }));
  return element("label", { class: "toggle" }, box, element("span", {}, t("preferences.slash")));
}

function access() {
  const held = key() !== null;
  const change = held
    ? button(t("preferences.forget"), () => setKey(null), { class: "quiet" })
    : button(t("preferences.give"), give, { class: "quiet" });
  return element("div", { class: "access" },
    element("p", {}, t(held ? "preferences.key" : "preferences.no-key")), change);
}

async function give() {
  /** @type {any} */ (byId("preferences")).hidePopover();
  const given = await ask(false);
  if (given !== null) setKey(given);
}
