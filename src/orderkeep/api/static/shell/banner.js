/** The line under the bar that says that the service does not answer. */

import { byId, fill } from "../base/dom.js";
import { clock } from "../base/format.js";
import { t } from "../base/language.js";
import { preferences } from "../base/preferences.js";
import { connection } from "../service/connection.js";

export function startBanner() {
  const banner = byId("banner");
  const draw = () => {
    const { downSince } = connection;
    banner.hidden = downSince === null;
    fill(banner, downSince && t("shell.down", { time: clock(downSince) }));
  };
  connection.addEventListener("down", draw);
  connection.addEventListener("back", draw);
  preferences.addEventListener("language", draw);
}
