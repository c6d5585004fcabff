/** The items of an order: a table, which the style sheet turns into cards where there is no room. */

import { element, foreign } from "./dom.js";
import { KNOWN, shown } from "./fields.js";
import { amount, counted, percent, plain } from "./format.js";

/** More rows than this are drawn only when asked for: tens of thousands take a browser seconds. */
const ROWS_AT_ONCE = 2000;

const COLUMNS = [
  ["Name", "name", nameCell],
  ["Brand", "brand", (item) => item.brand],
  ["Size", "size", (item) => item.size],
  ["Price", "figure", (item, money) => money(item.price)],
  ["Sale", "figure sale", (item) => item.sale === undefined ? undefined : percent(item.sale)],
  ["Total", "figure total", (item, money) => money(item.total_price)],
  ["Status", "figure status", (item) => item.status],
];

/** `currency` and `track` are the order's own: of its payment, and its track number. */
export function itemsTable(items, currency, track) {
  const money = (value) => value === undefined ? undefined : amount(value, currency);
  const body = element("tbody", { role: "rowgroup" });
  const draw = (some) => body.append(...some.map((item) => row(item, money, track)));
  draw(items.slice(0, ROWS_AT_ONCE));
  // The roles are those of a table; said aloud because `display: block` takes them away.
  const attributes = { class: "items", role: "table", "aria-labelledby": "items-title" };
  const table = element("table", attributes, head(), body);
  if (items.length <= ROWS_AT_ONCE) return table;
  return element("div", {}, table, restButton(items.length, () => draw(items.slice(ROWS_AT_ONCE))));
}

function head() {
  const cells = COLUMNS.map(([title, kind]) =>
    element("th", { scope: "col", role: "columnheader", class: kind }, title));
  return element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...cells));
}

function row(item, money, track) {
  const cells = COLUMNS.map(([title, kind, value]) =>
    element("td", { role: "cell", class: kind, "data-label": title }, shown(value(item, money, track))));
  return element("tr", { role: "row" }, ...cells);
}

function nameCell(item, _money, track) {
  return element("div", {}, shown(item.name), identifiers(item, track));
}

// An item's track number is nearly always the order's; only another one is worth a reader's glance.
function identifiers(item, track) {
  const names = ["nm_id", "chrt_id", "rid"].concat(item.track_number === track ? [] : ["track_number"]);
  const parts = names
    .filter((name) => item[name] !== undefined && item[name] !== "")
    .map((name) => element("span", {}, `${KNOWN.item[name]} `, foreign(plain(item[name]))));
  return element("div", { class: "ids" }, ...parts);
}

function restButton(total, draw) {
  const label = `Show all ${counted(total, "item", "items")}`;
  const button = element("button", { type: "button", class: "quiet rest" }, label);
  button.addEventListener("click", () => {
    button.remove();
    draw();
  });
  return button;
}
