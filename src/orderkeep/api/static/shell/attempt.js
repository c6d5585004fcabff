/** Asking until there is an answer, and what the page says meanwhile. */

import { element, foreign, button } from "../base/dom.js";
import { isText, t } from "../base/language.js";
import { Problem, Unreachable, failure, mayPass } from "../service/exchange.js";

const AGAIN_MS = 2000;

/**
 * What `load` gives, asked again for as long as what fails may pass; null when it will not.
 * @template T
 * @param {(signal: AbortSignal) => Promise<T>} load
 * @param {AbortSignal} signal
 * @param {(error: Problem|Unreachable, passes: boolean) => void} tell  told once of each kind of failure in a row
 * @returns {Promise<T|null>}
 */
export async function attempt(load, signal, tell) {
  let before = "";
  for (;;) {
    try {
      return await load(signal);
    } catch (error) {
      signal.throwIfAborted();
      const failed = failure(error);
      const passes = mayPass(failed);
      const kind = failed instanceof Problem ? `${failed.status} ${failed.detail}` : "unreachable";
      // The same failure again is no news, least of all to somebody who has it read aloud.
      if (kind !== before) tell(failed, passes);
      before = kind;
      if (!passes) return null;
      await pause(AGAIN_MS, signal);
    }
  }
}

/**
 * What is in the way, in words.
 * @param {Problem|Unreachable} error
 */
export function wordsFor(error) {
  if (error instanceof Unreachable) return t("problem.unreachable");
  return isText(`problem.${error.status}`) ? t(`problem.${error.status}`) : t("problem.other", { status: error.status });
}

/**
 * A card that says it, with the service's own words below.
 * @param {Problem|Unreachable} error @param {boolean} passes
 * @param {(() => void)|null} again  what a button does that tries once more
 */
export function failureCard(error, passes, again = null) {
  const detail = error instanceof Problem ? error.detail : "";
  return element("section", { class: "card answer" },
    element("h1", { tabindex: "-1" }, wordsFor(error)),
    detail && foreign(detail, { lang: "en", class: "muted" }, "p"),
    passes && element("p", { class: "muted" }, t("problem.again")),
    !passes && again && button(t("problem.retry"), again));
}

/**
 * @param {number} milliseconds
 * @param {AbortSignal} signal
 * @returns {Promise<void>} rejected when the signal comes first
 */
export function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => { clearTimeout(timer); reject(signal.reason); };
    const timer = setTimeout(() => { signal.removeEventListener("abort", stop); resolve(); }, milliseconds);
    signal.addEventListener("abort", stop, { once: true });
  });
}
