/** Orders as a table, a line each; the style sheet makes cards of the lines where there is no room. */

import { element, foreign } from "../base/dom.js";
import { moment, shortMoment } from "../base/format.js";
import { t } from "../base/language.js";
import { isUid, orderAddress } from "../base/route.js";

/** @typedef {import("../service/api.js").OrderLine} OrderLine */

const COLUMNS = ["uid", "customer", "track", "created", "received"];

/**
 * An empty table and its body.
 * @param {string} label  the id of its heading
 */
export function orderTable(label) {
  const heads = COLUMNS.map((name) => element("th", { scope: "col", role: "columnheader", class: name }, t(`column.${name}`)));
  const body = element("tbody", { role: "rowgroup" });
  // The roles are those of a table; said aloud because `display: block` takes them away.
  const table = element("table", { class: "list orders", role: "table", "aria-labelledby": label },
    element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...heads)), body);
  return { table, body };
}

/** Only what has an address can be a line. @param {OrderLine[]} lines */
export function withAddress(lines) {
  return lines.filter((line) => isUid(line?.order_uid));
}

/** @param {OrderLine} line */
export function orderRow(line) {
  return element("tr", { role: "row", "data-uid": line.order_uid },
    cell("uid", element("a", { href: orderAddress(line.order_uid), class: "mono" }, line.order_uid)),
    cell("customer", foreign(line.customer_id ?? "", { title: line.customer_id })),
    cell("track", foreign(line.track_number ?? "", { title: line.track_number })),
    cell("created", time(line.date_created)),
    cell("received", time(line.received_at)));
}

/** @param {string} name @param {Node} content */
function cell(name, content) {
  return element("td", { role: "cell", class: name, "data-label": t(`column.${name}`) }, content);
}

/** @param {string} text */
function time(text) {
  return element("time", { datetime: text, title: moment(text) }, shortMoment(text));
}
