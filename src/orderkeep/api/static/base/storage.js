/** What this browser remembers. A browser that remembers nothing is no error. */

const PREFIX = "orderkeep.";

/** @param {string} name @returns {string|null} */
export function remembered(name, place = () => localStorage) {
  try {
    return place().getItem(PREFIX + name);
  } catch {
    return null;
  }
}

/** @param {string} name @param {string|null} value  null forgets it */
export function remember(name, value, place = () => localStorage) {
  try {
    if (value === null) place().removeItem(PREFIX + name);
    else place().setItem(PREFIX + name, value);
  } catch {
    // Storage is full or switched off: it holds for as long as the page is open.
  }
}
