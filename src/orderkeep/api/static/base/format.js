/** Values as a reader wants them: in the reader's own language, zone and digits. Nothing here throws. */

import { NumberLiteral, isRounded } from "../json/exact.js";
import { locale, t } from "./language.js";

/** @type {Map<string, any>} */
const made = new Map();

const DATE_AND_TIME = {
  year: "numeric", month: "short", day: "numeric",
  hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short",
};
const CLOCK = { hour: "2-digit", minute: "2-digit", second: "2-digit" };
const DAY = { year: "numeric", month: "short", day: "numeric" };
const DAY_AND_CLOCK = { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" };

/** Any JSON value as plain text: strings as they are, objects and arrays as compact JSON. @param {any} value */
export function plain(value) {
  if (typeof value === "string") return value;
  if (isRounded(value)) return `≈ ${value}`;
  if (value instanceof NumberLiteral) return value.source;
  return JSON.stringify(value) ?? "";
}

/**
 * An amount in whole units of its currency, e.g. 1817 and "USD": "$1,817". Orders carry no fractions,
 * so none are made up. A code that is no currency code stands behind the number as it came.
 * @param {any} value
 * @param {any} currency
 */
export function amount(value, currency) {
  if (!isInteger(value) || isRounded(value)) return plain(value);
  const exact = value instanceof NumberLiteral ? BigInt(value.source) : value;
  const format = currencyFormat(currency);
  if (format) return format.format(exact);
  return `${number(exact)} ${shortened(plain(currency ?? ""))}`.trim();
}

/** Whether a JSON value is an integer of any size. @param {any} value */
export function isInteger(value) {
  if (value instanceof NumberLiteral) return /^-?\d{1,19}$/.test(value.source);
  return typeof value === "bigint" || Number.isInteger(value);
}

/** A share of a hundred, e.g. 30: "30%". @param {any} value */
export function percent(value) {
  if (!isInteger(value) || typeof value !== "number") return plain(value);
  return formatter(Intl.NumberFormat, { style: "percent" }).format(value / 100);
}

/** A share of one, e.g. 0.987: "98.7%". @param {number} value */
export function share(value) {
  return formatter(Intl.NumberFormat, { style: "percent", maximumFractionDigits: 1 }).format(value);
}

/** @param {number|bigint} value @param {number} digits  at most so many behind the point */
export function number(value, digits = 0) {
  return formatter(Intl.NumberFormat, { maximumFractionDigits: digits }).format(value);
}

/** A number of bytes, e.g. "1.8 MB". @param {number} bytes */
export function size(bytes) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];
  let at = 0;
  let value = bytes;
  for (; value >= 1000 && at < units.length - 1; at += 1) value /= 1000;
  const style = { style: "unit", unit: units[at], unitDisplay: at ? "short" : "long", maximumFractionDigits: at ? 1 : 0 };
  return formatter(Intl.NumberFormat, style).format(value);
}

/** A moment in the reader's zone, or null when it is not one. Takes RFC 3339 text. @param {any} text */
export function moment(text) {
  return typeof text === "string" ? formatDate(DATE_AND_TIME, new Date(text)) : null;
}

/** The same for seconds since 1970. @param {any} seconds */
export function unixMoment(seconds) {
  return typeof seconds === "number" ? formatDate(DATE_AND_TIME, new Date(seconds * 1000)) : null;
}

/** A moment as short as it can be: the time when it was today, else the day too. @param {string} text */
export function shortMoment(text) {
  const date = new Date(text);
  const today = new Date();
  if (date.toDateString() === today.toDateString()) return formatDate(CLOCK, date);
  return formatDate(date.getFullYear() === today.getFullYear() ? DAY_AND_CLOCK : DAY, date);
}

/** The time of day. @param {Date} date */
export function clock(date) {
  return formatDate(CLOCK, date) ?? "";
}

/** How long something took, e.g. "1.8 ms". @param {number} milliseconds */
export function duration(milliseconds) {
  if (milliseconds >= 100_000) return unit(milliseconds / 60_000, "minute", 0);
  if (milliseconds >= 1000) return unit(milliseconds / 1000, "second", 1);
  return unit(milliseconds, "millisecond", milliseconds < 100 ? 1 : 0);
}

/** How long ago, e.g. "5 seconds ago". @param {string} text @param {number} now  in milliseconds since 1970 */
export function ago(text, now) {
  const seconds = Math.max(0, (now - new Date(text).getTime()) / 1000);
  if (Number.isNaN(seconds)) return "";
  if (seconds < 2) return t("time.now");
  const format = formatter(Intl.RelativeTimeFormat, { numeric: "always", style: "short" });
  if (seconds < 90) return format.format(-Math.round(seconds), "second");
  if (seconds < 5400) return format.format(-Math.round(seconds / 60), "minute");
  if (seconds < 129_600) return format.format(-Math.round(seconds / 3600), "hour");
  return format.format(-Math.round(seconds / 86_400), "day");
}

/** @param {number} value @param {string} name @param {number} digits */
function unit(value, name, digits) {
  const style = { style: "unit", unit: name, unitDisplay: "short", maximumFractionDigits: digits };
  return formatter(Intl.NumberFormat, style).format(value);
}

// Whole in its own field; behind every amount of the page eight characters of nonsense are enough.
/** @param {string} code */
function shortened(code) {
  const characters = Array.from(code);
  return characters.length > 8 ? `${characters.slice(0, 8).join("")}…` : code;
}

/** @param {any} currency */
function currencyFormat(currency) {
  if (typeof currency !== "string") return null;
  try {
    return formatter(Intl.NumberFormat, {
      style: "currency", currency, minimumFractionDigits: 0, maximumFractionDigits: 0,
    });
  } catch {
    return null;
  }
}

/** @param {Record<string, string>} style @param {Date} date */
function formatDate(style, date) {
  return Number.isNaN(date.getTime()) ? null : formatter(Intl.DateTimeFormat, style).format(date);
}

// To make one takes a hundred times as long as to use it.
/** @param {any} kind @param {object} style */
function formatter(kind, style) {
  const name = `${locale()} ${kind.name} ${JSON.stringify(style)}`;
  if (!made.has(name)) made.set(name, new kind(locale(), style));
  return made.get(name);
}
