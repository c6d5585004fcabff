/**
 * Addresses of the page: `#/orders/<uid>` is an order, anything else the start. In the fragment an id
 * stays between reader and page: no proxy logs it, and no server has to know the page's addresses.
 */

/** What an order's id is made of. `.` and `..` would be taken out of the path by the browser. */
const UID = /^(?!\.{1,2}$)[A-Za-z0-9._~:-]{1,128}$/;

export function isUid(text) {
  return UID.test(text);
}

export function addressOf(uid) {
  return `#/orders/${encodeURIComponent(uid.toWellFormed?.() ?? uid)}`;
}

/** The id that the address names, or null. */
export function currentUid() {
  const found = /^#\/orders\/(.+)$/.exec(location.hash);
  return found ? decoded(found[1]) : null;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
