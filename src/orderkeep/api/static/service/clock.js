/** The server's clock, as well as it can be known from here: for times that begin there and end here. */

let ahead = 0;
let uncertainty = Infinity;

/** @param {number} measured  milliseconds that the server is ahead @param {number} within  the error of that */
export function noteClock(measured, within) {
  // The quickest answer knows best; a clock that is set meanwhile is believed again after a while.
  if (within > uncertainty) uncertainty *= 1.1;
  else [ahead, uncertainty] = [measured, within];
}

/** By the server's clock, what it is now or was at a moment here; in milliseconds since 1970. */
export function serverTime(here = Date.now()) {
  return here + ahead;
}
