/** The page: what the address says is what is shown. */

import { byId, fill, say } from "./base/dom.js";
import { preferences } from "./base/preferences.js";
import { currentRoute } from "./base/route.js";
import { showLive } from "./live/view.js";
import { showHome } from "./orders/home.js";
import { showFound } from "./orders/found.js";
import { showOrder } from "./orders/order.js";
import { showReject } from "./rejects/reject.js";
import { showRejects } from "./rejects/list.js";
import { keys } from "./service/key.js";
import { startBanner } from "./shell/banner.js";
import { startFinder } from "./shell/finder.js";
import { startHealth } from "./shell/health.js";
import { startKeyDialog } from "./shell/key-dialog.js";
import { startPreferences } from "./shell/preferences.js";
import { writeTexts } from "./shell/texts.js";
import { showState } from "./state/view.js";

/**
 * What a view is given: its address, the place to draw in, and when it is over.
 * @typedef {{route: import("./base/route.js").Route, place: HTMLElement, signal: AbortSignal,
 *   title: (text: string) => void, say: (text: string) => void}} Page
 * @typedef {(page: Page) => unknown} View
 */

const main = byId("main");
const said = byId("said");
let leaving = new AbortController();

/** @param {import("./base/route.js").Route} route @returns {View} */
function viewOf({ view, name }) {
  if (view === "orders") return name === null ? showHome : showOrder;
  if (view === "rejects") return name === null ? showRejects : showReject;
  if (view === "find" && name !== null) return showFound;
  return /** @type {Record<string, View>} */ ({ live: showLive, state: showState })[view] ?? showHome;
}

function show() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const route = currentRoute();
  mark(route.view);
  say(said, "");
  fill(main);
  const page = {
    route, place: main, signal,
    title: (/** @type {string} */ text) => { document.title = text ? `${text} · Orderkeep` : "Orderkeep"; },
    say: (/** @type {string} */ text) => say(said, text),
  };
  Promise.resolve(viewOf(route)(page)).catch((error) => {
    if (!signal.aborted) throw error;
  });
}

/** @param {string} view */
function mark(view) {
  for (const link of document.querySelectorAll("[data-view]")) {
    const isHere = link.getAttribute("data-view") === (view === "find" ? "orders" : view);
    if (isHere) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

// Whoever follows a link is brought to what it leads to: a reader of the screen hears its heading.
function arrive() {
  show();
  main.focus({ preventScroll: true });
  scrollTo(0, 0);
}

writeTexts();
startBanner();
startFinder();
startHealth();
startKeyDialog();
startPreferences();
byId("skip").addEventListener("click", () => main.focus());
addEventListener("hashchange", arrive);
keys.addEventListener("key", show);
preferences.addEventListener("language", () => {
  writeTexts();
  show();
});
show();
