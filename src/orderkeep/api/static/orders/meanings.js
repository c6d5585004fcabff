/** What a text that somebody types may mean: the beginning of an id, a track number, a customer. */

import { fetchOrders } from "../service/api.js";

const PREFIX = /^[A-Za-z0-9._~:-]{1,128}$/;
const LONGEST = 256;

/** @typedef {"uid"|"track"|"customer"} Meaning */
/** @typedef {{meaning: Meaning, wanted: Record<string, string>}} Question */

/** The lists to ask for. @param {string} text @returns {Question[]} */
export function questions(text) {
  /** @type {Question[]} */
  const found = [];
  if (PREFIX.test(text)) found.push({ meaning: "uid", wanted: { uid_prefix: text } });
  // PostgreSQL holds no NUL, so no order has one.
  if (text !== "" && text.length <= LONGEST && !text.includes("\0")) {
    found.push({ meaning: "track", wanted: { track_number: text } });
    found.push({ meaning: "customer", wanted: { customer_id: text } });
  }
  return found;
}

/**
 * The first orders of each meaning that has any.
 * @param {string} text @param {number} limit @param {AbortSignal} signal
 */
export async function firstOfEach(text, limit, signal) {
  const pages = await Promise.all(questions(text).map(async ({ meaning, wanted }) =>
    ({ meaning, page: await fetchOrders({ ...wanted, limit }, signal) })));
  return pages.filter(({ page }) => page.lines.length > 0);
}
