/** The words of what is on the page from its beginning, in the reader's language. */

import { t } from "../base/language.js";

export function writeTexts() {
  for (const place of document.querySelectorAll("[data-t]")) place.textContent = t(named(place, "data-t"));
  write("data-t-label", "aria-label");
  write("data-t-placeholder", "placeholder");
}

/** @param {string} from @param {string} to */
function write(from, to) {
  for (const place of document.querySelectorAll(`[${from}]`)) place.setAttribute(to, t(named(place, from)));
}

/** @param {Element} place @param {string} attribute */
function named(place, attribute) {
  return place.getAttribute(attribute) ?? "";
}
