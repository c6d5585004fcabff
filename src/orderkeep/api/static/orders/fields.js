/** Named values of an order as definition lists, and what nobody has named yet. */

import { element, foreign } from "../base/dom.js";
import { plain } from "../base/format.js";
import { t } from "../base/language.js";
import { isObject } from "../json/exact.js";

/**
 * The fields of the model, by where they stand. What an order has beside these is shown under "Other fields";
 * what the page calls them is in the texts, under `field.`.
 * @type {Record<string, string[]>}
 */
const KNOWN = {
  order: ["order_uid", "track_number", "entry", "delivery", "payment", "items", "locale", "internal_signature",
    "customer_id", "delivery_service", "shardkey", "sm_id", "date_created", "oof_shard"],
  delivery: ["name", "phone", "zip", "city", "address", "region", "email"],
  payment: ["transaction", "request_id", "currency", "provider", "amount", "payment_dt", "bank", "delivery_cost",
    "goods_total", "custom_fee"],
  item: ["chrt_id", "track_number", "price", "rid", "name", "sale", "size", "total_price", "nm_id", "brand", "status"],
};

/**
 * A definition list from [label, node or JSON value] pairs.
 * @param {[string, any][]} pairs
 * @param {Record<string, unknown>} attributes
 */
export function definitions(pairs, attributes = {}) {
  const rows = pairs.map(([label, value]) =>
    element("div", {}, element("dt", {}, label), element("dd", {}, shown(value))));
  return element("dl", attributes, ...rows);
}

/** A value as a node: foreign text, or a dash where there is none. @param {any} value */
export function shown(value) {
  if (value instanceof Node) return value;
  if (value === "") return none("value.empty");
  if (value === undefined) return none("value.missing");
  return foreign(plain(value), { class: "value" });
}

/** @param {string} why */
function none(why) {
  return element("span", { class: "none", title: t(why) }, "—");
}

/** The labelled values of `part` for the given names. @param {any} part @param {string[]} names @returns {[string, any][]} */
export function pick(part, names) {
  return names.map((name) => [t(`field.${name}`), part[name]]);
}

/**
 * [path, value] of everything in an order that KNOWN does not name, e.g. ["items[0].colour", "red"].
 * @param {any} order
 * @returns {[string, any][]}
 */
export function otherFields(order) {
  /** @type {[string, any, string[]][]} */
  const parts = [["", order, KNOWN.order]];
  for (const name of ["delivery", "payment"]) {
    if (isObject(order[name])) parts.push([`${name}.`, order[name], KNOWN[name]]);
  }
  if (Array.isArray(order.items)) {
    order.items.forEach((/** @type {any} */ item, /** @type {number} */ at) => {
      if (isObject(item)) parts.push([`items[${at}].`, item, KNOWN.item]);
    });
  }
  return parts.flatMap(([prefix, part, known]) => Object.keys(part)
    .filter((name) => !known.includes(name))
    .map((name) => /** @type {[string, any]} */ ([prefix + name, part[name]])));
}
