/** Values as a reader wants them: in the reader's own language, zone and digits. Nothing here throws. */

import { NumberLiteral, isRounded } from "./exact-json.js";

const dateAndTime = new Intl.DateTimeFormat(undefined, {
  year: "numeric", month: "short", day: "numeric",
  hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short",
});
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric" });
const count = new Intl.NumberFormat();
const currencies = new Map();

/** Any JSON value as plain text: strings as they are, objects and arrays as compact JSON. */
export function plain(value) {
  if (typeof value === "string") return value;
  if (isRounded(value)) return `≈ ${value}`;
  if (value instanceof NumberLiteral) return value.source;
  return JSON.stringify(value) ?? "";
}

/**
 * An amount in whole units of its currency, e.g. 1817 and "USD": "$1,817". Orders carry no fractions,
 * so none are made up. A code that is no currency code stands behind the number as it came.
 */
export function amount(value, currency) {
  if (!isInteger(value) || isRounded(value)) return plain(value);
  const exact = value instanceof NumberLiteral ? BigInt(value.source) : value;
  const format = currencyFormat(currency);
  if (format) return format.format(exact);
  return `${count.format(exact)} ${shortened(plain(currency ?? ""))}`.trim();
}

/** A share of a hundred, e.g. 30: "30%". */
export function percent(value) {
  return isInteger(value) ? `${plain(value)}%` : plain(value);
}

export function counted(number, one, many) {
  return `${count.format(number)} ${number === 1 ? one : many}`;
}

/** A moment in the reader's zone, or null when it is not one. Takes RFC 3339 text. */
export function moment(text) {
  return typeof text === "string" ? formatDate(dateAndTime, new Date(text)) : null;
}

/** The same for seconds since 1970. */
export function unixMoment(seconds) {
  return typeof seconds === "number" ? formatDate(dateAndTime, new Date(seconds * 1000)) : null;
}

/** A moment as short as it can be: the time when it was today, else the day. */
export function shortMoment(text) {
  const date = new Date(text);
  const isToday = date.toDateString() === new Date().toDateString();
  return formatDate(isToday ? clock : day, date);
}

/** How long something took, e.g. "1.8 ms". */
export function duration(milliseconds) {
  if (milliseconds >= 1000) return `${(milliseconds / 1000).toFixed(1)} s`;
  return `${milliseconds.toFixed(milliseconds < 100 ? 1 : 0)} ms`;
}

// Whole in its own field; behind every amount of the page eight characters of nonsense are enough.
function shortened(code) {
  const characters = Array.from(code);
  return characters.length > 8 ? `${characters.slice(0, 8).join("")}…` : code;
}

function isInteger(value) {
  return value instanceof NumberLiteral ? /^-?\d{1,19}$/.test(value.source) : Number.isInteger(value);
}

function currencyFormat(currency) {
  if (!currencies.has(currency)) currencies.set(currency, makeCurrencyFormat(currency));
  return currencies.get(currency);
}

function makeCurrencyFormat(currency) {
  if (typeof currency !== "string") return null;
  try {
    return new Intl.NumberFormat(undefined, {
      style: "currency", currency, minimumFractionDigits: 0, maximumFractionDigits: 0,
    });
  } catch {
    return null;
  }
}

function formatDate(format, date) {
  return Number.isNaN(date.getTime()) ? null : format.format(date);
}
