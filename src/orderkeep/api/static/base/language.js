/** The words of the page, in the reader's language. */

import en from "../texts/en.js";
import ru from "../texts/ru.js";
import { preferences } from "./preferences.js";
import { remember, remembered } from "./storage.js";

/** @typedef {string|Record<string, string>} Text  one text, or one for each plural category of `count` */

/** @type {Record<string, Record<string, Text>>} */
const TEXTS = { en, ru };

/** Each by its own name. */
export const LANGUAGES = { en: "English", ru: "Русский" };

let current = chosen();
document.documentElement.lang = current;

/** "en" or "ru". */
export function language() {
  return current;
}

/**
 * For numbers and dates: the reader's own variant of the language, such as en-GB, if the browser names one.
 * @returns {string}
 */
export function locale() {
  return navigator.languages.find((name) => name.split("-")[0] === current) ?? current;
}

/** @param {string} name */
export function setLanguage(name) {
  current = name;
  remember("language", name);
  document.documentElement.lang = name;
  preferences.dispatchEvent(new Event("language"));
}

/**
 * The text of `key`; `{name}` in it is replaced by that value, numbers as the language writes them.
 * @param {string} key
 * @param {Record<string, string|number>} values  `count` also chooses the plural
 * @returns {string}
 */
export function t(key, values = {}) {
  return rich(key, values).join("");
}

/**
 * The same for values that are elements: the pieces of the text in turn.
 * @template T
 * @param {string} key
 * @param {Record<string, T|string|number>} values
 * @returns {(T|string)[]}
 */
export function rich(key, values) {
  const pieces = textOf(key, values.count).split(/\{(\w+)\}/);
  return pieces.map((piece, at) => (at % 2 ? written(values[piece]) : piece)).filter((piece) => piece !== "");
}

/** Whether there is such a text. @param {string} key */
export function isText(key) {
  return Object.hasOwn(TEXTS[current], key);
}

/** @param {string} key @param {unknown} count */
function textOf(key, count) {
  const text = TEXTS[current][key];
  if (text === undefined) throw new Error(`there is no text ${key}`);
  if (typeof text === "string") return text;
  return text[new Intl.PluralRules(current).select(Number(count))] ?? text.other;
}

/** @template T @param {T|string|number} value */
function written(value) {
  return typeof value === "number" ? new Intl.NumberFormat(locale()).format(value) : value;
}

function chosen() {
  const wanted = [remembered("language"), ...navigator.languages];
  return wanted.map((name) => name?.split("-")[0] ?? "").find((name) => name in TEXTS) ?? "en";
}
