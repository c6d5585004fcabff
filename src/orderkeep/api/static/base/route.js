/**
 * Addresses of the page. They are in the fragment: there an id stays between reader and page, no proxy logs
 * it, and no server has to know the page's addresses.
 *
 *   #/                      the newest orders
 *   #/orders/<uid>          an order
 *   #/find/<text>           everything that a text may mean
 *   #/live  #/state         the feed, the state of the service
 *   #/rejects?kind=…        rejected messages, filtered
 *   #/rejects/<id>          one of them
 */

/** What an order's id is made of. `.` and `..` would be taken out of the path by the browser. */
const UID = /^(?!\.{1,2}$)[A-Za-z0-9._~:-]{1,128}$/;
const VIEWS = ["orders", "find", "live", "rejects", "state"];

/** @typedef {{view: string, name: string|null, query: URLSearchParams}} Route */

/** @param {unknown} text @returns {text is string} */
export function isUid(text) {
  return typeof text === "string" && UID.test(text);
}

/** What the address says is to be shown. @returns {Route} */
export function currentRoute() {
  const [path, query] = split(location.hash.slice(1), "?");
  const [view, name] = split(path.replace(/^\//, ""), "/");
  const known = VIEWS.includes(view) ? view : "orders";
  return { view: known, name: known === view && name ? decoded(name) : null, query: new URLSearchParams(query) };
}

/** @param {string} uid */
export function orderAddress(uid) {
  return address("orders", uid);
}

/**
 * @param {string} view
 * @param {string|number|null} name
 * @param {Record<string, string|null>} query  null leaves a name out
 */
export function address(view, name = null, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== "");
  const asked = new URLSearchParams(/** @type {[string, string][]} */ (given)).toString();
  const path = name === null ? view : `${view}/${encodeURIComponent(wellFormed(String(name)))}`;
  return `#/${path}${asked && `?${asked}`}`;
}

/** Half a surrogate pair cannot be written in an address. @param {string} text */
function wellFormed(text) {
  return text.replace(/\p{Surrogate}/gu, "\ufffd");
}

/** @param {string} text @param {string} at */
function split(text, at) {
  const place = text.indexOf(at);
  return place < 0 ? [text, ""] : [text.slice(0, place), text.slice(place + 1)];
}

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
