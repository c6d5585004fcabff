/** An order laid out for reading. */

import { copyButton } from "./clipboard.js";
import { element, foreign } from "./dom.js";
import { isObject, parseExactly } from "./exact-json.js";
import { KNOWN, definitions, otherFields, pick, shown } from "./fields.js";
import { amount, counted, duration, moment, plain, unixMoment } from "./format.js";
import { itemsTable } from "./items-table.js";
import { addressOf } from "./route.js";

const UNREADABLE = "What is kept under this id cannot be laid out; here it is as it came.";

/** @param {{uid: string, text: string, source: string|null, milliseconds: number}} answer */
export function orderView(answer) {
  const order = orderOf(answer.text);
  return element("article", { class: "order", "aria-labelledby": "order-title" },
    heading(answer, order),
    ...(order ? parts(order) : [card("Not an order", element("p", {}, UNREADABLE))]),
    exactJson(answer.text, order === null),
  );
}

/** Where an order came from and how long it took, e.g. "from memory in 1.8 ms". */
export function provenance({ source, milliseconds }) {
  const from = { memory: "from memory ", redis: "from Redis ", database: "from the database " }[source] ?? "";
  return `${from}in ${duration(milliseconds)}`;
}

function orderOf(text) {
  try {
    const parsed = parseExactly(text);
    return isObject(parsed) ? parsed : null;
  } catch {
    return null;
  }
}

function heading(answer, order) {
  const link = copyButton("Copy link", () => new URL(addressOf(answer.uid), location.href).href);
  const summary = order && definitions([
    [KNOWN.order.track_number, order.track_number],
    [KNOWN.order.date_created, time(moment(order.date_created), order.date_created)],
    [KNOWN.order.customer_id, order.customer_id],
    [KNOWN.order.delivery_service, order.delivery_service],
  ], { class: "summary" });
  return element("header", { class: "card order-head" },
    element("div", { class: "order-line" },
      element("p", { class: "eyebrow" }, "Order"),
      element("p", { class: "provenance", "data-source": answer.source ?? "unknown" }, provenance(answer)),
      link),
    element("h1", { id: "order-title" }, answer.uid),
    summary);
}

function parts(order) {
  const delivery = isObject(order.delivery) ? order.delivery : {};
  const payment = isObject(order.payment) ? order.payment : {};
  const items = Array.isArray(order.items) ? order.items.filter(isObject) : [];
  return [
    element("div", { class: "pair" }, deliveryCard(delivery), paymentCard(payment)),
    itemsCard(items, payment.currency, order.track_number),
    handlingCard(order),
    othersCard(otherFields(order)),
  ].filter((part) => part !== null);
}

function deliveryCard(delivery) {
  const names = ["name", "phone", "email", "address", "city", "region", "zip"];
  return card("Delivery", definitions(pick(delivery, KNOWN.delivery, names)));
}

function paymentCard(payment) {
  const sums = ["goods_total", "delivery_cost", "custom_fee", "amount"].map((name) => [
    KNOWN.payment[name],
    payment[name] === undefined ? undefined : amount(payment[name], payment.currency),
  ]);
  return card("Payment",
    definitions(sums, { class: "sums" }),
    definitions([
      [KNOWN.payment.payment_dt, time(unixMoment(payment.payment_dt), payment.payment_dt)],
      ...pick(payment, KNOWN.payment, ["currency", "provider", "bank", "transaction", "request_id"]),
    ]));
}

function itemsCard(items, currency, track) {
  const title = element("h2", { id: "items-title" }, "Items ",
    element("span", { class: "count" }, counted(items.length, "item", "items")));
  const body = items.length
    ? itemsTable(items, currency, track)
    : element("p", { class: "none" }, "This order has no items.");
  return element("section", { class: "card items-card" }, title, body);
}

function handlingCard(order) {
  const names = ["entry", "locale", "shardkey", "sm_id", "oof_shard", "internal_signature"];
  return card("Handling", definitions(pick(order, KNOWN.order, names), { class: "summary" }));
}

function othersCard(fields) {
  if (fields.length === 0) return null;
  const rows = fields.map(([path, value]) =>
    element("div", {}, foreign(path, {}, "dt"), element("dd", {}, shown(value))));
  return card("Other fields", element("dl", { class: "others" }, ...rows));
}

function exactJson(text, open) {
  // The text enters the page when the block is opened: most readers never look, and it can be a megabyte.
  const block = element("pre", { dir: "ltr", tabindex: "0", "aria-label": "Exact JSON" });
  const size = counted(byteLength(text), "byte", "bytes");
  const details = element("details", { class: "card exact", open },
    element("summary", {}, "Exact JSON ", element("span", { class: "count" }, size)),
    element("div", { class: "exact-bar" }, copyButton("Copy JSON", () => text)),
    block);
  details.addEventListener("toggle", () => { block.textContent = details.open ? text : ""; });
  return details;
}

function byteLength(text) {
  return new TextEncoder().encode(text).length;
}

/** A moment in the reader's zone with the original behind it, or the original alone. */
function time(read, original) {
  if (read === null) return original;
  return element("time", { class: "value", title: plain(original) }, read);
}

function card(title, ...content) {
  return element("section", { class: "card" }, element("h2", {}, title), ...content);
}
