/** Named values of an order as definition lists, and what nobody has named yet. */

import { element, foreign } from "./dom.js";
import { plain } from "./format.js";
import { isObject } from "./exact-json.js";

/**
 * The fields of the model, by where they stand, with the words the page has for them. What an order has
 * beside these is shown under "Other fields".
 */
export const KNOWN = {
  order: {
    order_uid: "Order id", track_number: "Track number", entry: "Entry", delivery: "Delivery",
    payment: "Payment", items: "Items", locale: "Locale", internal_signature: "Internal signature",
    customer_id: "Customer", delivery_service: "Delivery service", shardkey: "Shard key", sm_id: "SM id",
    date_created: "Created", oof_shard: "OOF shard",
  },
  delivery: {
    name: "Name", phone: "Phone", zip: "Zip", city: "City", address: "Address", region: "Region",
    email: "Email",
  },
  payment: {
    transaction: "Transaction", request_id: "Request id", currency: "Currency", provider: "Provider",
    amount: "Amount", payment_dt: "Paid", bank: "Bank", delivery_cost: "Delivery",
    goods_total: "Goods", custom_fee: "Custom fee",
  },
  item: {
    chrt_id: "chrt_id", track_number: "track", price: "Price", rid: "rid", name: "Name", sale: "Sale",
    size: "Size", total_price: "Total", nm_id: "nm_id", brand: "Brand", status: "Status",
  },
};

/** A definition list from [label, node or JSON value] pairs. */
export function definitions(pairs, attributes = {}) {
  const rows = pairs.map(([label, value]) =>
    element("div", {}, element("dt", {}, label), element("dd", {}, shown(value))));
  return element("dl", attributes, ...rows);
}

/** A value as a node: foreign text, or a dash where there is none. */
export function shown(value) {
  if (value instanceof Node) return value;
  if (value === "") return element("span", { class: "none", title: "empty" }, "—");
  if (value === undefined) return element("span", { class: "none", title: "not given" }, "—");
  return foreign(plain(value), { class: "value" });
}

/** The labelled values of `part` for the given names. */
export function pick(part, labels, names) {
  return names.map((name) => [labels[name], part[name]]);
}

/** [path, value] of everything in an order that KNOWN does not name, e.g. ["items[0].colour", "red"]. */
export function otherFields(order) {
  const parts = [["", order, KNOWN.order]];
  for (const name of ["delivery", "payment"]) {
    if (isObject(order[name])) parts.push([`${name}.`, order[name], KNOWN[name]]);
  }
  if (Array.isArray(order.items)) {
    order.items.forEach((item, at) => {
      if (isObject(item)) parts.push([`items[${at}].`, item, KNOWN.item]);
    });
  }
  return parts.flatMap(([prefix, part, labels]) => Object.keys(part)
    .filter((name) => !Object.hasOwn(labels, name))
    .map((name) => [prefix + name, part[name]]));
}
