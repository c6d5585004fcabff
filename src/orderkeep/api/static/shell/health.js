/** The light in the bar: green, yellow or red, whatever is looked at. */

import { byId } from "../base/dom.js";
import { t } from "../base/language.js";
import { preferences } from "../base/preferences.js";
import { fetchIsReady, fetchState } from "../service/api.js";
import { noteClock } from "../service/clock.js";
import { connection } from "../service/connection.js";
import { Problem } from "../service/exchange.js";
import { levelOf, verdict } from "../state/verdict.js";

const EVERY_MS = 10_000;

export function startHealth() {
  const light = byId("health");
  let level = "unknown";
  /** @type {ReturnType<typeof setTimeout>} */
  let timer;

  const draw = () => {
    light.dataset.level = level;
    const words = t(`level.${level}`);
    light.title = words;
    /** @type {HTMLElement} */ (light.firstElementChild).textContent = words;
  };
  const look = async () => {
    clearTimeout(timer);
    if (!document.hidden) {
      level = await currentLevel();
      draw();
    }
    timer = setTimeout(look, EVERY_MS);
  };
  draw();
  look();
  connection.addEventListener("down", () => { level = "red"; draw(); });
  connection.addEventListener("back", look);
  document.addEventListener("visibilitychange", look);
  preferences.addEventListener("language", draw);
}

async function currentLevel() {
  try {
    const { state, ahead, uncertainty } = await fetchState();
    noteClock(ahead, uncertainty);
    return levelOf(verdict(state));
  } catch (error) {
    if (!(error instanceof Problem)) return "red";
    if (error.status === 403) return levelOfReadiness();
    return error.status === 401 ? "unknown" : "red";
  }
}

async function levelOfReadiness() {
  try {
    return (await fetchIsReady()) ? "green" : "yellow";
  } catch {
    return "red";
  }
}
