/** The start: the newest orders, kept fresh while somebody looks, or those of a time. */

import { button, element, field, fill, foreign } from "../base/dom.js";
import { t } from "../base/language.js";
import { address } from "../base/route.js";
import { fetchOrders } from "../service/api.js";
import { attempt, failureCard } from "../shell/attempt.js";
import { periodFields, periodOf } from "../shell/period.js";
import { NewestOrders } from "./newest.js";
import { forgetSearches, recentSearches } from "./recent.js";

const LIMIT = 25;

/** @param {import("../app.js").Page} page */
export async function showHome(page) {
  page.title("");
  const { query } = page.route;
  const by = query.get("by") === "date_created" ? "date_created" : "received_at";
  const period = periodOf(query);
  const isNewest = by === "received_at" && period.since === null && period.until === null;
  const wanted = { ...period, by: by === "received_at" ? null : by, limit: LIMIT };
  const list = new NewestOrders(page.signal);
  fill(page.place,
    element("div", { class: "head" }, element("h1", { id: "orders-title" }, t("home.title")),
      isNewest && list.state, filters(period, by)),
    recent(), list.place);
  const first = await attempt((signal) => fetchOrders(wanted, signal), page.signal,
    (error, passes) => fill(list.place, failureCard(error, passes)));
  if (first === null) return;
  list.show(first);
  if (isNewest) list.keepFresh(() => fetchOrders(wanted, page.signal));
}

/** @param {import("../shell/period.js").Period} period @param {string} by */
function filters(period, by) {
  const go = (/** @type {any} */ change) => {
    location.hash = address("", null, { ...period, by: by === "received_at" ? null : by, ...change });
  };
  const select = /** @type {HTMLSelectElement} */ (element("select", {
    onchange: () => go({ by: select.value === "received_at" ? null : select.value }),
  }, ...["received_at", "date_created"].map((name) =>
    element("option", { value: name, selected: name === by }, t(`by.${name}`)))));
  return element("div", { class: "filters" },
    ...periodFields(period, go),
    field(t("by.title"), select));
}

function recent() {
  const texts = recentSearches();
  if (texts.length === 0) return null;
  const links = texts.map((text) => element("li", {},
    element("a", { href: address("find", text), class: "chip" }, foreign(text, { class: "mono" }))));
  const section = element("section", { class: "recent", "aria-label": t("find.recent") },
    element("h2", {}, t("find.recent")), element("ul", {}, ...links),
    button(t("find.forget"), () => { forgetSearches(); section.remove(); }, { class: "plain" }));
  return section;
}

