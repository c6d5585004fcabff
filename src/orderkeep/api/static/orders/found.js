/** Everything that a text may mean: orders whose id begins so, of that track number, of that customer. */

import { element, fill, foreign } from "../base/dom.js";
import { t } from "../base/language.js";
import { address, isUid, orderAddress } from "../base/route.js";
import { fetchOrder, fetchOrders } from "../service/api.js";
import { Problem } from "../service/exchange.js";
import { attempt, failureCard } from "../shell/attempt.js";
import { moreButton } from "../shell/more.js";
import { periodFields, periodOf } from "../shell/period.js";
import { orderRow, orderTable, withAddress } from "./list.js";
import { questions } from "./meanings.js";

const LIMIT = 20;

/** @typedef {{meaning: string, page: import("../service/api.js").Page<import("../service/api.js").OrderLine>}} Found */

/** @param {import("../app.js").Page} page */
export async function showFound(page) {
  const text = page.route.name ?? "";
  page.title(text);
  const period = periodOf(page.route.query);
  const place = element("div", { class: "stack", "aria-busy": "true" });
  fill(page.place, element("div", { class: "head" },
    element("h1", {}, t("found.title"), " ", foreign(text, { class: "quoted" })),
    element("div", { class: "filters" }, ...periodFields(period, (changed) => {
      location.hash = address("find", text, { ...changed });
    }))), place);
  const found = await attempt((signal) => search(text, period, signal), page.signal,
    (error, passes) => fill(place, failureCard(error, passes)));
  if (found === null) return;
  if (found === ORDER || isOneOrder(found, text)) return location.replace(orderAddress(text));
  place.setAttribute("aria-busy", "false");
  const count = found.reduce((sum, { page: { lines } }) => sum + lines.length, 0);
  page.say(count ? t("find.count", { count }) : t("found.nothing"));
  fill(place, count ? found.map((each) => section(each, page.signal)) : nothing(text));
}

const ORDER = Symbol("an order in memory, while nothing can be searched");

/**
 * @param {string} text @param {import("../shell/period.js").Period} period @param {AbortSignal} signal
 * @returns {Promise<Found[]|typeof ORDER>}
 */
async function search(text, period, signal) {
  try {
    const pages = await Promise.all(questions(text).map(async ({ meaning, wanted }) => {
      // A list of ids is sorted by id: it knows no time.
      const times = meaning === "uid" ? {} : period;
      return { meaning, page: await fetchOrders({ ...wanted, ...times, limit: LIMIT }, signal) };
    }));
    return pages.filter(({ page }) => page.lines.length > 0);
  } catch (error) {
    // Lists come from the database; an order by its id may still be in memory.
    if (!(error instanceof Problem && error.passes && isUid(text))) throw error;
    await fetchOrder(text, signal);
    return ORDER;
  }
}

/** Whether the text is the id of an order, and means nothing else. @param {Found[]} found @param {string} text */
function isOneOrder(found, text) {
  return found.length === 1 && found[0].meaning === "uid" && found[0].page.lines[0].order_uid === text;
}

/** @param {Found} found @param {AbortSignal} signal */
function section({ meaning, page }, signal) {
  const id = `found-${meaning}`;
  const { table, body } = orderTable(id);
  const append = (/** @type {any[]} */ lines) => body.append(...withAddress(lines).map(orderRow));
  append(page.lines);
  return element("section", { class: "card flush" }, element("h2", { id }, t(`meaning.${meaning}`)), table,
    moreButton(page.next, (next) => fetchOrders(next, signal), append));
}

/** @param {string} text */
function nothing(text) {
  return element("section", { class: "card answer" },
    element("h2", {}, t("found.nothing")),
    element("p", { class: "muted" }, t(isUid(text) ? "found.hint" : "found.not-an-id")));
}
