/** What a reader has chosen: theme, language, and whether `/` goes to the search. Kept by this browser. */

import { remember, remembered } from "./storage.js";

export const THEMES = ["system", "light", "dark"];

/** Tells `theme` and `language` when the reader changes them. */
export const preferences = new EventTarget();

/** @returns {string} one of THEMES */
export function theme() {
  const chosen = remembered("theme") ?? "";
  return THEMES.includes(chosen) ? chosen : "system";
}

/** @param {string} name */
export function setTheme(name) {
  const chosen = name === "system" ? null : name;
  remember("theme", chosen);
  if (chosen === null) delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
  preferences.dispatchEvent(new Event("theme"));
}

/** A single key that does something can be in the way of whoever speaks to the computer (WCAG 2.1.4). */
export function slashSearches() {
  return remembered("slash") !== "off";
}

/** @param {boolean} on */
export function setSlashSearches(on) {
  remember("slash", on ? null : "off");
}

matchMedia("(prefers-color-scheme: dark)")
  .addEventListener("change", () => preferences.dispatchEvent(new Event("theme")));
