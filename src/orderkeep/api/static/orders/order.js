/** An order laid out for reading. */

import { copyButton, downloadButton } from "../base/clipboard.js";
import { button, element, fill, foreign } from "../base/dom.js";
import { amount, duration, moment, number, plain, size, unixMoment } from "../base/format.js";
import { rich, t } from "../base/language.js";
import { address, isUid, orderAddress } from "../base/route.js";
import { isObject, parseExactly } from "../json/exact.js";
import { fetchOrder, fetchOrigin } from "../service/api.js";
import { Problem, failure } from "../service/exchange.js";
import { attempt, failureCard } from "../shell/attempt.js";
import { definitions, otherFields, pick, shown } from "./fields.js";
import { itemsTable } from "./items.js";
import { noteSearch } from "./recent.js";
import { differences } from "./sums.js";

/** @param {import("../app.js").Page} page */
export async function showOrder(page) {
  const uid = page.route.name ?? "";
  page.title(uid);
  if (!isUid(uid)) return fill(page.place, noOrder(uid, "order.not-an-id", null));
  page.place.setAttribute("aria-busy", "true");
  page.signal.addEventListener("abort", () => page.place.setAttribute("aria-busy", "false"));
  const answer = await attempt((signal) => fetchOrder(uid, signal), page.signal, (error, passes) => {
    const again = () => showOrder(page);
    const isMissing = error instanceof Problem && error.status === 404;
    fill(page.place, isMissing ? noOrder(uid, "order.missing", again) : failureCard(error, passes, again));
    page.say(/** @type {string} */ (page.place.querySelector("h1")?.textContent));
  });
  page.place.setAttribute("aria-busy", "false");
  if (answer === null) return undefined;
  noteSearch(uid);
  const origin = element("div", { class: "origin" });
  fill(page.place, orderView(answer, origin));
  page.say(t("order.said", { uid, where: provenance(answer) }));
  return tellOrigin(uid, origin, page.signal);
}

/** @param {string} text @param {string} why @param {(() => void)|null} again */
function noOrder(text, why, again) {
  return element("section", { class: "card answer" },
    element("h1", {}, t("order.none")),
    foreign(text, { class: "quoted" }, "p"),
    element("p", { class: "muted" }, t(why)),
    again && button(t("order.again"), again));
}

/** @param {import("../service/api.js").OrderAnswer} answer @param {HTMLElement} origin */
function orderView(answer, origin) {
  const order = orderOf(answer.text);
  return element("article", { class: "order", "aria-labelledby": "order-title" },
    heading(answer, order, origin),
    ...(order ? parts(order) : [card(t("order.odd"), element("p", {}, t("order.odd-why")))]),
    exactJson(answer, order === null));
}

/** Where an order came from and how long it took, e.g. "from memory in 1.8 ms". @param {import("../service/api.js").OrderAnswer} answer */
function provenance({ source, milliseconds }) {
  return t(`from.${source ?? "unknown"}`, { time: duration(milliseconds) });
}

/** @param {string} text */
function orderOf(text) {
  try {
    const parsed = parseExactly(text);
    return isObject(parsed) ? parsed : null;
  } catch {
    return null;
  }
}

/** @param {import("../service/api.js").OrderAnswer} answer @param {any} order @param {HTMLElement} origin */
function heading(answer, order, origin) {
  const link = copyButton(t("order.link"), () => new URL(orderAddress(answer.uid), location.href).href);
  const summary = order && definitions([
    [t("field.track_number"), searchable(order.track_number)],
    [t("field.customer_id"), searchable(order.customer_id)],
    [t("field.date_created"), time(moment(order.date_created), order.date_created)],
    [t("field.delivery_service"), order.delivery_service],
  ], { class: "summary" });
  return element("header", { class: "card order-head" },
    element("div", { class: "order-line" },
      element("p", { class: "eyebrow" }, t("order.order")),
      element("p", { class: "tag", "data-source": answer.source ?? "unknown" }, provenance(answer)),
      element("div", { class: "buttons" }, link, button(t("order.print"), () => print(), { class: "quiet" }))),
    element("h1", { id: "order-title", class: "mono" }, answer.uid),
    summary, origin);
}

/** When and from where it was received: asked beside the order, which does not wait for it. @param {string} uid @param {HTMLElement} place @param {AbortSignal} signal */
async function tellOrigin(uid, place, signal) {
  try {
    fill(place, originWords(await fetchOrigin(uid, signal)));
  } catch (error) {
    if (signal.aborted) return;
    failure(error);
    fill(place, t("origin.unknown"));
  }
}

/** @param {import("../service/api.js").Origin} origin */
function originWords(origin) {
  const received = time(moment(origin.received_at), origin.received_at, "");
  if (origin.partition === null || origin.position === null) return rich("origin.posted", { time: received });
  return rich("origin.message", {
    time: received, source: sourceName(origin.source), topic: foreign(origin.topic, { class: "mono" }),
    partition: String(origin.partition), position: number(origin.position),
  });
}

/** @param {string} kind */
function sourceName(kind) {
  return { kafka: "Apache Kafka", jetstream: "NATS JetStream", stan: "NATS Streaming" }[kind] ?? kind;
}

/** @param {any} order */
function parts(order) {
  const delivery = isObject(order.delivery) ? order.delivery : {};
  const payment = isObject(order.payment) ? order.payment : {};
  const items = Array.isArray(order.items) ? order.items.filter(isObject) : [];
  return [
    element("div", { class: "pair" },
      element("div", { class: "stack" }, deliveryCard(delivery), handlingCard(order)), paymentCard(payment, items)),
    itemsCard(items, payment.currency, order.track_number),
    othersCard(otherFields(order)),
  ].filter((part) => part !== null);
}

/** @param {any} delivery */
function deliveryCard(delivery) {
  return card(t("field.delivery"), definitions(pick(delivery, ["name", "phone", "email", "address", "city", "region", "zip"])));
}

/** @param {any} order */
function handlingCard(order) {
  const names = ["entry", "locale", "shardkey", "sm_id", "oof_shard", "internal_signature"];
  return card(t("order.handling"), definitions(pick(order, names), { class: "summary" }));
}

/** @param {any} payment @param {any[]} items */
function paymentCard(payment, items) {
  /** @type {[string, any][]} */
  const sums = ["goods_total", "delivery_cost", "custom_fee", "amount"].map((name) => [
    t(`field.${name}`),
    payment[name] === undefined ? undefined : amount(payment[name], payment.currency),
  ]);
  return card(t("field.payment"),
    definitions(sums, { class: "sums" }),
    check(payment, items),
    definitions([
      [t("field.payment_dt"), time(unixMoment(payment.payment_dt), payment.payment_dt)],
      ...pick(payment, ["currency", "provider", "bank", "transaction", "request_id"]),
    ]));
}

/** @param {any} payment @param {any[]} items */
function check(payment, items) {
  const found = differences(payment, items);
  if (found === null) return null;
  if (found.length === 0) return element("p", { class: "check", "data-level": "green" }, t("sums.agree"));
  const money = (/** @type {bigint} */ value) => amount(value, payment.currency);
  const lines = found.slice(0, 5).map(({ rule, stated, expected, at = 0 }) => element("li", {}, t(`sums.${rule}`, {
    stated: money(stated), expected: money(expected), difference: money(stated - expected), number: at + 1,
  })));
  const rest = found.length - lines.length;
  return element("div", { class: "check", "data-level": "yellow" },
    element("p", {}, t("sums.differ")),
    element("ul", {}, ...lines, rest > 0 && element("li", {}, t("sums.more", { count: rest }))));
}

/** @param {any[]} items @param {any} currency @param {any} track */
function itemsCard(items, currency, track) {
  const title = element("h2", { id: "items-title" }, t("field.items"), " ",
    element("span", { class: "count" }, number(items.length)));
  const body = items.length ? itemsTable(items, currency, track) : element("p", { class: "none" }, t("items.none"));
  return element("section", { class: "card items-card" }, title, body);
}

/** @param {[string, any][]} fields */
function othersCard(fields) {
  if (fields.length === 0) return null;
  const rows = fields.map(([path, value]) =>
    element("div", {}, foreign(path, {}, "dt"), element("dd", {}, shown(value))));
  return card(t("order.others"), element("dl", { class: "others" }, ...rows));
}

/** @param {import("../service/api.js").OrderAnswer} answer @param {boolean} open */
function exactJson({ uid, text }, open) {
  // The text enters the page when the block is opened: most readers never look, and it can be a megabyte.
  const block = element("pre", { dir: "ltr", tabindex: "0", role: "region", "aria-label": t("json.title") });
  const details = /** @type {HTMLDetailsElement} */ (element("details", { class: "card exact", open },
    element("summary", {}, element("h2", {}, t("json.title")), " ",
      element("span", { class: "count" }, size(new TextEncoder().encode(text).length))),
    element("div", { class: "buttons" }, copyButton(t("json.copy"), () => text),
      downloadButton(t("json.download"), `${uid}.json`, () => text)),
    block));
  details.addEventListener("toggle", () => { block.textContent = details.open ? text : ""; });
  return details;
}

/** What else there is of this customer or track number is a click away. @param {any} value */
function searchable(value) {
  if (typeof value !== "string" || value === "") return value;
  return element("a", { class: "value", dir: "auto", href: address("find", value) }, value);
}

/** A moment in the reader's zone with the original behind it, or the original alone. @param {string|null} read @param {any} original */
function time(read, original, kind = "value") {
  if (read === null) return plain(original ?? "");
  return element("time", { class: kind, title: plain(original) }, read);
}

/** @param {string} title @param {...any} content */
function card(title, ...content) {
  return element("section", { class: "card" }, element("h2", {}, title), ...content);
}
