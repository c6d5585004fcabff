/** What the page says when there is no order to lay out. */

import { Problem } from "./api.js";
import { element, foreign } from "./dom.js";

const WITHOUT_DATABASE = "The database does not answer; what is in memory is still served.";

/** @typedef {{said: string, view: HTMLElement}} Answer  `said` is for readers who listen. */

/** @returns {Answer} */
export function welcome() {
  return answer("Find an order", element("p", {},
    "Type an order’s id above, or choose one of the newest orders. Press ",
    element("kbd", {}, "/"), " to go to the field from anywhere."));
}

/** @returns {Answer} */
export function notAnId(text) {
  return answer("No such order", quoted(text), element("p", {},
    "This cannot be an order’s id: an id has 1 to 128 characters of A–Z, a–z, 0–9 and . _ ~ : -"));
}

/** @returns {Answer} for whatever `fetchOrder` threw; `again` looks once more. */
export function failure(uid, error, again) {
  if (!(error instanceof Problem)) return unreachable();
  if (error.status === 404) return missing(uid, again);
  return refused(error);
}

function unreachable() {
  return answer("The service does not answer; trying again",
    element("p", {}, "The order will be shown as soon as the service is back."));
}

function missing(uid, again) {
  const button = element("button", { type: "button" }, "Look again");
  button.addEventListener("click", again);
  return answer("No such order", quoted(uid),
    element("p", {}, "Nothing is kept under this id. Check it for a missing or an extra character; "
      + "an order sent only just now may need a moment."),
    button);
}

function refused(problem) {
  return answer(problem.title,
    foreign(problem.detail || (problem.status === 503 ? WITHOUT_DATABASE : ""), {}, "p"),
    element("p", { class: "count" }, `Status ${problem.status}${problem.passes ? "; trying again" : ""}`));
}

function quoted(text) {
  return foreign(text, { class: "quoted" }, "p");
}

function answer(title, ...content) {
  const heading = foreign(title, {}, "h1");
  return { said: title, view: element("section", { class: "card answer" }, heading, ...content) };
}
