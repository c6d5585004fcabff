/** The items of an order: a table that sorts, which the style sheet turns into cards where there is no room. */

import { button, element, fill, foreign } from "../base/dom.js";
import { amount, isInteger, percent, plain } from "../base/format.js";
import { t } from "../base/language.js";
import { shown } from "./fields.js";

/** More rows than this are drawn only when asked for: tens of thousands take a browser seconds. */
const ROWS_AT_ONCE = 2000;
const COLUMNS = ["name", "brand", "size", "price", "sale", "total_price", "status"];
const collator = new Intl.Collator(undefined, { numeric: true });
const FIGURES = ["price", "sale", "total_price", "status"];

/**
 * @param {any[]} items
 * @param {any} currency  of the order's payment
 * @param {any} track  the order's track number
 */
export function itemsTable(items, currency, track) {
  return new ItemsTable(items, currency, track).place;
}

class ItemsTable {
  place = element("div", {});
  #body = element("tbody", { role: "rowgroup" });
  /** @type {string|null} */ #sortedBy = null;
  #isDescending = false;
  #isWhole = false;

  /** @param {any[]} items @param {any} currency @param {any} track */
  constructor(items, currency, track) {
    this.items = items;
    this.currency = currency;
    this.track = track;
    this.heads = COLUMNS.map((name) => this.#head(name));
    // The roles are those of a table; said aloud because `display: block` takes them away.
    const attributes = { class: "items", role: "table", "aria-labelledby": "items-title" };
    const head = element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...this.heads));
    this.table = element("table", attributes, head, this.#body);
    this.#draw();
  }

  /** @param {string} name */
  #head(name) {
    const sort = button(t(`field.${name}`), () => this.#sort(name), { class: "sort" });
    return element("th", { scope: "col", role: "columnheader", class: kindOf(name), "aria-sort": "none" }, sort);
  }

  /** @param {string} name */
  #sort(name) {
    this.#isDescending = this.#sortedBy === name && !this.#isDescending;
    this.#sortedBy = name;
    COLUMNS.forEach((each, at) => this.heads[at].setAttribute("aria-sort",
      each !== name ? "none" : this.#isDescending ? "descending" : "ascending"));
    this.#draw();
  }

  #draw() {
    const name = this.#sortedBy;
    const sorted = name === null ? this.items : this.items.toSorted((a, b) => compare(a[name], b[name]));
    if (this.#isDescending) sorted.reverse();
    const some = this.#isWhole ? sorted : sorted.slice(0, ROWS_AT_ONCE);
    fill(this.#body, ...some.map((item) => this.#row(item)));
    fill(this.place, this.table, some.length < sorted.length && this.#rest());
  }

  /** @param {any} item */
  #row(item) {
    const cells = COLUMNS.map((name) => element("td", { role: "cell", class: kindOf(name), "data-label": t(`field.${name}`) },
      name === "name" ? this.#name(item) : shown(this.#value(item, name))));
    return element("tr", { role: "row" }, ...cells);
  }

  /** @param {any} item @param {string} name */
  #value(item, name) {
    const value = item[name];
    if (value === undefined) return undefined;
    if (name === "price" || name === "total_price") return amount(value, this.currency);
    return name === "sale" ? percent(value) : value;
  }

  // An item's track number is nearly always the order's; only another one is worth a reader's glance.
  /** @param {any} item */
  #name(item) {
    const names = ["nm_id", "chrt_id", "rid"].concat(item.track_number === this.track ? [] : ["track_number"]);
    const parts = names
      .filter((name) => item[name] !== undefined && item[name] !== "")
      .map((name) => element("span", {}, `${name} `, foreign(plain(item[name]))));
    return element("div", {}, shown(item.name), element("div", { class: "ids" }, ...parts));
  }

  #rest() {
    const all = button(t("items.all", { count: this.items.length }), () => {
      this.#isWhole = true;
      this.#draw();
    }, { class: "quiet" });
    return element("div", { class: "more" }, all);
  }
}

/** @param {string} name */
function kindOf(name) {
  return FIGURES.includes(name) ? `figure ${name}` : name;
}

/** Integers by size, however large; all else as text. @param {any} a @param {any} b */
function compare(a, b) {
  if (isInteger(a) && isInteger(b)) {
    const [one, other] = [BigInt(String(a)), BigInt(String(b))];
    return one < other ? -1 : Number(one > other);
  }
  return collator.compare(plain(a), plain(b));
}
