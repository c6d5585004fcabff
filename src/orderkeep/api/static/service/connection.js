/** Whether the service answers: noticed by whoever asks it, and asked until it answers again. */

const AGAIN_MS = 2000;

class Connection extends EventTarget {
  /** When it stopped answering, or null while it answers. @type {Date|null} */
  downSince = null;

  /** Somebody had an answer. */
  answered() {
    if (this.downSince === null) return;
    this.downSince = null;
    this.dispatchEvent(new Event("back"));
  }

  /** Somebody had none. */
  missed() {
    if (this.downSince !== null) return;
    this.downSince = new Date();
    this.dispatchEvent(new Event("down"));
    setTimeout(() => this.#knock(), AGAIN_MS);
  }

  async #knock() {
    if (this.downSince === null) return;
    try {
      await fetch("/health/live", { cache: "no-store", signal: AbortSignal.timeout(5000) });
      this.answered();
    } catch {
      setTimeout(() => this.#knock(), AGAIN_MS);
    }
  }
}

/** Tells `down` and `back`. */
export const connection = new Connection();
