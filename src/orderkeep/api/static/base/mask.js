/**
 * Personal data in lists and in the text of messages: phone numbers, e-mail and other addresses are covered,
 * character for character, until a reader asks for them.
 */

const NAMED = /(["'](?:phone|email|e-mail|address)["']\s*:\s*["'])((?:[^"'\\]|\\.)*)/gi;
const EMAIL = /[^\s"'<>:,;@]+@[^\s"'<>:,;@]+/g;
const PHONE = /\+\d[\d ().-]{6,}\d/g;
const COVER = "•";

/**
 * The places [start, end] of personal data in a text, in order.
 * @param {string} text
 * @returns {[number, number][]}
 */
export function personalPlaces(text) {
  /** @type {[number, number][]} */
  const places = [];
  for (const found of text.matchAll(NAMED)) {
    const start = found.index + found[1].length;
    if (found[2]) places.push([start, start + found[2].length]);
  }
  for (const pattern of [EMAIL, PHONE]) {
    for (const found of text.matchAll(pattern)) places.push([found.index, found.index + found[0].length]);
  }
  return places.sort(([a], [b]) => a - b);
}

/** @param {string} text */
export function maskedText(text) {
  let masked = text;
  for (const [start, end] of personalPlaces(text)) {
    masked = masked.slice(0, start) + COVER.repeat(end - start) + masked.slice(end);
  }
  return masked;
}

/** Whether the value at this path of an order is personal, e.g. `$.delivery.phone`. @param {string} path */
export function isPersonal(path) {
  return /\.(phone|email|address)\b/i.test(path);
}
