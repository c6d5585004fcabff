/** The list of newest orders, kept fresh while somebody looks. */

import { Problem, fetchNewest } from "./api.js";
import { element, foreign } from "./dom.js";
import { moment, shortMoment } from "./format.js";
import { addressOf, isUid } from "./route.js";

const LIMIT = 20;
const EVERY_MS = 2000;
/** How long the rows stand still after the pointer or a key was last used among them. */
const STAND_STILL_MS = 4000;

/**
 * @param {{list: Element, state: Element, notice: Element, held: Element, fallback: HTMLElement}} places
 *   `fallback` takes the focus when the row that had it leaves the list.
 * @returns {{mark: (uid: string|null) => void}}  marks the order that is open
 */
export function keepNewest(places) {
  const newest = new NewestList(places);
  newest.watch();
  return { mark: (uid) => newest.mark(uid) };
}

class NewestList {
  #places;
  #rows = new Map();
  #open = null;
  #timer;
  #asking = false;
  #stillUntil = 0;

  constructor(places) {
    this.#places = places;
  }

  watch() {
    const { list } = this.#places;
    const choosing = () => { this.#stillUntil = performance.now() + STAND_STILL_MS; };
    for (const sign of ["pointermove", "keydown", "focusin"]) list.addEventListener(sign, choosing);
    const chosen = () => { this.#stillUntil = 0; };
    for (const sign of ["click", "pointerleave"]) list.addEventListener(sign, chosen);
    document.addEventListener("visibilitychange", () => this.#refresh());
    this.#refresh();
  }

  mark(uid) {
    this.#rows.get(this.#open)?.firstChild.removeAttribute("aria-current");
    this.#open = uid;
    this.#rows.get(uid)?.firstChild.setAttribute("aria-current", "true");
  }

  async #refresh() {
    clearTimeout(this.#timer);
    if (document.hidden || this.#asking) return;
    this.#asking = true;
    try {
      this.#show(await fetchNewest(LIMIT));
      this.#say("live", null);
    } catch (error) {
      this.#say("down", complaint(error));
    }
    this.#asking = false;
    this.#timer = setTimeout(() => this.#refresh(), EVERY_MS);
  }

  #show(orders) {
    const shown = orders.filter((order) => isUid(order?.order_uid));
    const isNews = shown.some((order) => !this.#rows.has(order.order_uid));
    const standsStill = isNews && this.#rows.size > 0 && performance.now() < this.#stillUntil;
    this.#places.held.hidden = !standsStill;
    if (!standsStill) this.#arrange(shown);
  }

  // Rows that stay are not touched, so focus, selection and a click in progress survive a refresh.
  #arrange(orders) {
    const { list } = this.#places;
    list.querySelector(".nothing")?.remove();
    this.#drop(new Set(orders.map((order) => order.order_uid)));
    let place = list.firstChild;
    for (const order of orders) {
      const row = this.#row(order);
      if (row === place) place = place.nextSibling;
      else list.insertBefore(row, place);
    }
    if (orders.length === 0) list.append(element("li", { class: "nothing" }, "No orders yet."));
  }

  #drop(wanted) {
    for (const [uid, row] of this.#rows) {
      if (wanted.has(uid)) continue;
      if (row.contains(document.activeElement)) this.#places.fallback.focus({ preventScroll: true });
      row.remove();
      this.#rows.delete(uid);
    }
  }

  #row(order) {
    const uid = order.order_uid;
    if (!this.#rows.has(uid)) this.#rows.set(uid, makeRow(order, uid === this.#open));
    return this.#rows.get(uid);
  }

  #say(state, text) {
    const { notice, state: label } = this.#places;
    label.dataset.state = state;
    label.textContent = state === "live" ? "live" : "not live";
    notice.hidden = text === null;
    // Written only when it changes: a live region repeats whatever is written into it.
    if (notice.textContent !== (text ?? "")) notice.textContent = text ?? "";
  }
}

function makeRow(order, isOpen) {
  const uid = order.order_uid;
  const received = shortMoment(order.received_at);
  return element("li", {},
    element("a", { href: addressOf(uid), "aria-current": isOpen && "true" },
      element("span", { class: "row-uid", title: uid }, uid),
      foreign(order.customer_id ?? "", { class: "row-customer", title: order.customer_id }),
      foreign(order.track_number ?? "", { class: "row-track", title: order.track_number }),
      received && element("time", { title: `received ${moment(order.received_at)}` }, received)));
}

function complaint(error) {
  if (!(error instanceof Problem)) return "The service does not answer; trying again";
  return `${error.detail || error.title}; trying again`.replace(/[.;]+; /, "; ");
}
