/** A list in pages: the button below it that brings the next one. */

import { button, element, fill } from "../base/dom.js";
import { t } from "../base/language.js";
import { failure } from "../service/exchange.js";
import { wordsFor } from "./attempt.js";

/**
 * @template T
 * @param {string|null} next  the address of the next page, if there is one
 * @param {(next: string) => Promise<import("../service/api.js").Page<T>>} load
 * @param {(lines: T[]) => void} append
 */
export function moreButton(next, load, append) {
  const place = element("div", { class: "more" });
  const draw = (/** @type {string|null} */ at, note = "") => fill(place,
    at !== null && button(t("list.more"), (event) => bring(at, /** @type {HTMLButtonElement} */ (event.currentTarget)), { class: "quiet" }),
    note && element("p", { role: "status" }, note));
  const bring = async (/** @type {string} */ at, /** @type {HTMLButtonElement} */ pressed) => {
    pressed.disabled = true;
    try {
      const page = await load(at);
      append(page.lines);
      draw(page.next);
    } catch (error) {
      draw(at, wordsFor(failure(error)));
    }
  };
  draw(next);
  return place;
}
