/** The access key, where the service has keys: kept for this tab alone, and gone with it. */

import { remember, remembered } from "../base/storage.js";

const tab = () => sessionStorage;

/** @typedef {(refused: boolean) => Promise<string|null>} Ask  `refused`: there was one, and it is not taken */

/** @type {Ask} */
let ask = async () => null;
/** @type {Promise<string|null>|null} */
let asking = null;

/** Tells `key` when there is another one, or none. */
export const keys = new EventTarget();

/** @returns {string|null} */
export function key() {
  return remembered("key", tab);
}

/** @param {string|null} value */
export function setKey(value) {
  remember("key", value, tab);
  keys.dispatchEvent(new Event("key"));
}

/** Who is to ask the reader for a key. @param {Ask} by */
export function askBy(by) {
  ask = by;
}

/**
 * Another key than `refused`, from the reader; null when there will be none. Asked once, however many want it.
 * @param {string|null} refused
 * @returns {Promise<string|null>}
 */
export async function anotherKey(refused) {
  if (key() !== refused) return key();
  asking ??= ask(refused !== null).finally(() => { asking = null; });
  const given = await asking;
  if (given !== null && given !== key()) setKey(given);
  return given;
}
