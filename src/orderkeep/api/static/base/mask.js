/**
 * Personal data in lists and in the text of messages: phone numbers, e-mail and other addresses are covered,
 * character for character, until a reader asks for them.
 */

const NAMED = /(["'])(?:phone|email|e-mail|address)\1\s*:\s*(["'])((?:(?!\2)[^\\]|\\.)*)/gis;
const PHONE = /\+\d[\d ().-]{6,20}\d/g;
const OUTSIDE_OF_EMAIL = /[\s"'<>:,;@]/;
/** RFC 5321, 4.5.3.1: of a local part, and of a domain. */
const LONGEST_NAME = 64;
const LONGEST_DOMAIN = 255;
const COVER = "•";

/**
 * The places [start, end] of personal data in a text, in order. Takes time in proportion to the text.
 * @param {string} text
 * @returns {[number, number][]}
 */
export function personalPlaces(text) {
  /** @type {[number, number][]} */
  const places = emails(text);
  for (const { index, 0: whole, 3: value } of text.matchAll(NAMED)) {
    const end = index + whole.length;
    if (value) places.push([end - value.length, end]);
  }
  for (const { index, 0: whole } of text.matchAll(PHONE)) places.push([index, index + whole.length]);
  return places.sort(([a], [b]) => a - b);
}

// From each @ outwards: a pattern would look for one behind every character of a long word.
/** @param {string} text */
function emails(text) {
  /** @type {[number, number][]} */
  const places = [];
  const isInside = (/** @type {number} */ at) => at >= 0 && at < text.length && !OUTSIDE_OF_EMAIL.test(text[at]);
  for (let at = text.indexOf("@"); at >= 0; at = text.indexOf("@", at + 1)) {
    let start = at;
    let end = at + 1;
    while (isInside(start - 1) && at - start < LONGEST_NAME) start -= 1;
    while (isInside(end) && end - at <= LONGEST_DOMAIN) end += 1;
    if (start < at && end > at + 1) places.push([start, end]);
  }
  return places;
}

/** @param {string} text */
export function maskedText(text) {
  const pieces = [];
  let from = 0;
  for (const [start, end] of personalPlaces(text)) {
    if (end <= from) continue;
    pieces.push(text.slice(from, Math.max(from, start)), COVER.repeat(end - Math.max(from, start)));
    from = end;
  }
  return pieces.join("") + text.slice(from);
}

/** Whether the value at this path of an order is personal, e.g. `$.delivery.phone`. @param {string} path */
export function isPersonal(path) {
  return /\.(phone|email|address)\b/i.test(path);
}
