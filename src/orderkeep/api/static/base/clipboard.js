/** Copying to the clipboard and saving to a file, exactly and from any address the page is served under. */

import { button } from "./dom.js";
import { t } from "./language.js";

const SAID_FOR_MS = 2000;

/**
 * A button that copies what `read()` returns and says on itself whether it could.
 * @param {string} label
 * @param {() => string} read
 */
export function copyButton(label, read) {
  /** @type {ReturnType<typeof setTimeout>} */
  let timer;
  const made = button(label, async () => {
    const copied = await copy(read());
    made.textContent = copied ? t("copy.done") : t("copy.failed");
    clearTimeout(timer);
    timer = setTimeout(() => { made.textContent = label; }, SAID_FOR_MS);
  }, { class: "quiet", "aria-live": "polite" });
  return made;
}

/**
 * A button that saves the bytes of what `read()` returns.
 * @param {string} label
 * @param {string} filename
 * @param {() => BlobPart} read
 */
export function downloadButton(label, filename, read, type = "application/json") {
  return button(label, () => {
    const url = URL.createObjectURL(new Blob([read()], { type }));
    const link = document.createElement("a");
    link.href = url;
    link.download = filename;
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), SAID_FOR_MS);
  }, { class: "quiet" });
}

/** @param {string} text */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyByCommand(text);
  }
}

// navigator.clipboard is missing on plain http other than loopback. Answering the copy event, rather than
// selecting a field, keeps line ends as they are.
/** @param {string} text */
function copyByCommand(text) {
  /** @param {ClipboardEvent} event */
  const answer = (event) => {
    event.clipboardData?.setData("text/plain", text);
    event.preventDefault();
  };
  document.addEventListener("copy", answer, { once: true });
  const copied = document.execCommand("copy");
  document.removeEventListener("copy", answer);
  return copied;
}
