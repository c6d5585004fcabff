/** The page: what the address says is what is shown. */

import { failure, notAnId, welcome } from "./answers.js";
import { Problem, Unreachable, fetchOrder } from "./api.js";
import { keepNewest } from "./newest.js";
import { orderView, provenance } from "./order-view.js";
import { addressOf, currentUid, isUid } from "./route.js";

const AGAIN_MS = 2000;

const main = document.getElementById("main");
const result = document.getElementById("result");
const said = document.getElementById("said");
const field = document.getElementById("uid");
const newest = keepNewest({
  list: document.getElementById("newest"),
  state: document.getElementById("newest-state"),
  notice: document.getElementById("newest-notice"),
  held: document.getElementById("newest-held"),
  fallback: document.getElementById("newest-title"),
});
let lookup = new AbortController();

function show({ said: words, view }) {
  said.textContent = words;
  result.replaceChildren(view);
}

function follow() {
  lookup.abort();
  lookup = new AbortController();
  const uid = currentUid();
  document.title = uid === null ? "Orderkeep" : `${uid} · Orderkeep`;
  field.value = uid ?? "";
  newest.mark(uid);
  main.setAttribute("aria-busy", "false");
  if (uid === null) show(welcome());
  else if (isUid(uid)) find(uid, lookup.signal);
  else show(notAnId(uid));
}

/** Looks for an order until there is an answer, or until the reader wants another one (`signal`). */
async function find(uid, signal) {
  main.setAttribute("aria-busy", "true");
  let before = null;
  while (!signal.aborted) {
    const outcome = await look(uid, signal);
    if (signal.aborted) return;
    // The same failure again is no news, least of all to somebody who has it read aloud.
    if (outcome.said !== before) show(outcome);
    before = outcome.said;
    if (!outcome.passes) break;
    await new Promise((resume) => { setTimeout(resume, AGAIN_MS); });
  }
  if (!signal.aborted) arrive();
}

async function look(uid, signal) {
  try {
    const answer = await fetchOrder(uid, signal);
    return { said: `Order ${uid}, ${provenance(answer)}`, view: orderView(answer), passes: false };
  } catch (error) {
    if (!(error instanceof Unreachable || error instanceof Problem)) throw error;
    const passes = error instanceof Unreachable || error.passes;
    return { ...failure(uid, error, follow), passes };
  }
}

// On a phone the list stands below the order: whoever chose there must be brought to what was chosen.
function arrive() {
  main.setAttribute("aria-busy", "false");
  result.querySelector("h1").scrollIntoView({ block: "nearest" });
}

function search(event) {
  event.preventDefault();
  const uid = field.value.trim();
  if (uid === "") return;
  const address = addressOf(uid);
  if (address === location.hash) follow();
  else location.hash = address;
}

function focusField(event) {
  const isTyping = event.target.closest?.("input, textarea, select, [contenteditable]");
  if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  field.focus();
  field.select();
}

document.getElementById("search").addEventListener("submit", search);
document.addEventListener("keydown", focusField);
window.addEventListener("hashchange", follow);
follow();
