/** The search field: one text, whatever it may mean, with results as one types (a combobox, WAI-ARIA 1.2). */

import { byId, element, fill, foreign, say } from "../base/dom.js";
import { shortMoment } from "../base/format.js";
import { t } from "../base/language.js";
import { preferences, slashSearches } from "../base/preferences.js";
import { address, currentRoute, orderAddress } from "../base/route.js";
import { firstOfEach } from "../orders/meanings.js";
import { noteSearch, recentSearches } from "../orders/recent.js";
import { failure } from "../service/exchange.js";
import { wordsFor } from "./attempt.js";

const TYPING_MS = 150;
const OF_EACH = 4;

export function startFinder() {
  new Finder().listen();
}

class Finder {
  #field = /** @type {HTMLInputElement} */ (byId("find"));
  #popup = byId("found");
  #list = byId("found-list");
  #note = byId("found-note");
  #active = -1;
  #asking = new AbortController();
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #typing;

  listen() {
    this.#field.addEventListener("input", () => this.#suggest());
    this.#field.addEventListener("focus", () => { if (this.#text === "") this.#suggest(); });
    this.#field.addEventListener("keydown", (event) => this.#onKey(event));
    this.#field.addEventListener("blur", () => this.#close());
    // Pressing an option must not take the focus from the field before the option is clicked.
    this.#list.addEventListener("pointerdown", (event) => event.preventDefault());
    byId("search").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    document.addEventListener("keydown", (event) => this.#onShortcut(event));
    addEventListener("hashchange", () => this.#showWhere());
    const hint = () => { byId("find-hint").hidden = !slashSearches(); };
    byId("preferences").addEventListener("change", hint);
    preferences.addEventListener("language", () => this.#close());
    hint();
    this.#showWhere();
  }

  get #text() {
    return this.#field.value.trim();
  }

  // The field shows what is found below it, and nothing of what was typed for another view.
  #showWhere() {
    const { view, name } = currentRoute();
    this.#field.value = ["orders", "find"].includes(view) ? name ?? "" : "";
    this.#close();
  }

  #suggest() {
    clearTimeout(this.#typing);
    this.#asking.abort();
    this.#asking = new AbortController();
    const text = this.#text;
    if (text === "") this.#offerRecent();
    else this.#typing = setTimeout(() => this.#ask(text, this.#asking.signal), TYPING_MS);
  }

  /** @param {string} text @param {AbortSignal} signal */
  async #ask(text, signal) {
    try {
      const groups = await firstOfEach(text, OF_EACH, signal);
      if (!signal.aborted) this.#offer(text, groups);
    } catch (error) {
      if (signal.aborted) return;
      this.#open([], wordsFor(failure(error)));
    }
  }

  #offerRecent() {
    const recent = recentSearches();
    if (recent.length === 0) return this.#close();
    const options = recent.map((text) => option(text, address("find", text), foreign(text, { class: "found-main mono" })));
    return this.#open([group(t("find.recent"), options)], "");
  }

  /** @param {string} text @param {{meaning: string, page: {lines: any[], next: string|null}}[]} groups */
  #offer(text, groups) {
    const parts = groups.map(({ meaning, page }) => group(t(`meaning.${meaning}`), page.lines.map(orderOption)));
    if (parts.length > 0) parts.push(option(text, address("find", text), element("span", { class: "found-all" }, t("find.all"))));
    const count = groups.reduce((sum, { page }) => sum + page.lines.length, 0);
    this.#open(parts, count ? t("find.count", { count }) : t("find.nothing"));
  }

  /** @param {HTMLElement[]} parts @param {string} words */
  #open(parts, words) {
    fill(this.#list, ...parts);
    this.#options.forEach((each, at) => { each.id = `found-${at}`; });
    this.#popup.hidden = parts.length === 0;
    this.#field.setAttribute("aria-expanded", String(parts.length > 0));
    this.#activate(-1);
    say(this.#note, words);
  }

  #close() {
    clearTimeout(this.#typing);
    this.#asking.abort();
    this.#popup.hidden = true;
    this.#field.setAttribute("aria-expanded", "false");
    this.#activate(-1);
    say(this.#note, "");
  }

  /** @returns {HTMLElement[]} */
  get #options() {
    return [...this.#list.querySelectorAll('[role="option"]')].map((each) => /** @type {HTMLElement} */ (each));
  }

  /** @param {number} at */
  #activate(at) {
    const options = this.#options;
    options.forEach((each, number) => each.setAttribute("aria-selected", String(number === at)));
    this.#active = at;
    if (at < 0) return this.#field.removeAttribute("aria-activedescendant");
    this.#field.setAttribute("aria-activedescendant", options[at].id);
    return options[at].scrollIntoView({ block: "nearest" });
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const count = this.#popup.hidden ? 0 : this.#options.length;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && count === 0) this.#suggest();
    else if (step) this.#activate((this.#active + step + count + (this.#active < 0 && step < 0 ? 1 : 0)) % count);
    else if (event.key === "Escape") this.#leave();
    else return;
    event.preventDefault();
  }

  #leave() {
    if (!this.#popup.hidden) this.#close();
    else if (this.#field.value !== "") this.#field.value = "";
    else this.#field.blur();
  }

  #submit() {
    const chosen = this.#popup.hidden ? undefined : this.#options[this.#active];
    const text = this.#text;
    if (chosen) return chosen.click();
    if (text === "") return undefined;
    noteSearch(text);
    return this.#go(address("find", text));
  }

  /** @param {string} hash */
  #go(hash) {
    this.#close();
    if (location.hash === hash) dispatchEvent(new HashChangeEvent("hashchange"));
    else location.hash = hash;
  }

  /** @param {KeyboardEvent} event */
  #onShortcut(event) {
    const place = /** @type {Element} */ (event.target);
    const isTyping = place.closest?.("input:not([type=checkbox], [type=radio]), textarea, select, dialog");
    if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey || event.altKey || !slashSearches()) return;
    event.preventDefault();
    this.#field.focus();
    this.#field.select();
  }
}

/** @param {string} title @param {HTMLElement[]} options */
function group(title, options) {
  return element("div", { role: "group", "aria-label": title },
    element("p", { class: "found-title", "aria-hidden": "true" }, title), ...options);
}

/** @param {import("../service/api.js").OrderLine} order */
function orderOption(order) {
  return option(order.order_uid, orderAddress(order.order_uid),
    foreign(order.order_uid, { class: "found-main mono" }),
    element("span", { class: "found-more" },
      foreign(order.customer_id), foreign(order.track_number), shortMoment(order.received_at)));
}

/** @param {string} text  what is remembered of it @param {string} href @param {...HTMLElement} content */
function option(text, href, ...content) {
  const go = () => {
    noteSearch(text);
    location.hash = href;
  };
  return element("div", { role: "option", "aria-selected": "false", onclick: go }, ...content);
}
