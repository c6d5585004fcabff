/** What was searched for last, in this browser. */

import { remember, remembered } from "../base/storage.js";

const NAME = "recent";
const MOST = 8;

/** The latest first. @returns {string[]} */
export function recentSearches() {
  try {
    const kept = JSON.parse(remembered(NAME) ?? "[]");
    return Array.isArray(kept) ? kept.filter((text) => typeof text === "string").slice(0, MOST) : [];
  } catch {
    return [];
  }
}

/** @param {string} text */
export function noteSearch(text) {
  const others = recentSearches().filter((other) => other !== text);
  remember(NAME, JSON.stringify([text, ...others].slice(0, MOST)));
}

export function forgetSearches() {
  remember(NAME, null);
}
