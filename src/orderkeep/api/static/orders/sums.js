/** The sums of an order, checked: what should add up, and by how much it does not. */

import { isInteger } from "../base/format.js";
import { isObject } from "../json/exact.js";

/**
 * @typedef {{rule: "goods"|"amount"|"item", stated: bigint, expected: bigint, at?: number}} Difference
 *   `at` is the place of the item
 */

/**
 * The differences; null when there is nothing to check, because the numbers are no integers.
 * @param {any} payment
 * @param {any[]} items
 * @returns {Difference[]|null}
 */
export function differences(payment, items) {
  const sums = [goods(payment, items), amount(payment), ...items.map(item)];
  const checked = sums.filter((sum) => sum !== null);
  return checked.length ? checked.filter(({ stated, expected }) => stated !== expected) : null;
}

/** @param {any} payment @param {any[]} items @returns {Difference|null} */
function goods(payment, items) {
  const totals = items.map((each) => whole(each.total_price));
  const stated = whole(payment.goods_total);
  if (stated === null || totals.includes(null)) return null;
  return { rule: "goods", stated, expected: totals.reduce((sum, total) => (sum ?? 0n) + (total ?? 0n), 0n) ?? 0n };
}

/** @param {any} payment @returns {Difference|null} */
function amount(payment) {
  const [stated, goodsTotal, delivery, fee] =
    ["amount", "goods_total", "delivery_cost", "custom_fee"].map((name) => whole(payment[name]));
  if (stated === null || goodsTotal === null || delivery === null || fee === null) return null;
  return { rule: "amount", stated, expected: goodsTotal + delivery + fee };
}

/** @param {any} one @param {number} at @returns {Difference|null} */
function item(one, at) {
  if (!isObject(one)) return null;
  const [price, sale, stated] = ["price", "sale", "total_price"].map((name) => whole(one[name]));
  if (price === null || sale === null || stated === null || price < 0n || sale < 0n || sale > 100n) return null;
  const hundredfold = price * (100n - sale);
  const roundedDown = hundredfold / 100n;
  // Senders round as they like: down or up to the next whole unit are both right.
  const isRounded = stated === roundedDown || (hundredfold % 100n !== 0n && stated === roundedDown + 1n);
  return { rule: "item", stated, expected: isRounded ? stated : (hundredfold + 50n) / 100n, at };
}

/** @param {any} value */
function whole(value) {
  return isInteger(value) ? BigInt(String(value)) : null;
}
