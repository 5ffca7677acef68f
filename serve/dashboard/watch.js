// Watch: looks again and again while the page is visible, and less often while the server does not answer.

const EVERY_MS = 1000;
const SLOWEST_MS = 15_000;

/** Calls `look` about every second, without two at once. `look` resolves to whether it went well. */
export class Watch {
  #look;
  #timer = 0;
  #failed = 0;
  // The look that is under way or was the last, and the one that comes right after it, if any.
  #present = Promise.resolve();
  #next = null;

  constructor(look) {
    this.#look = look;
    document.addEventListener("visibilitychange", () => this.now());
  }

  /** Look now, or once after the look that is under way; resolves when it is done. */
  now() {
    clearTimeout(this.#timer);
    const begin = () => this.#once();
    this.#next ??= this.#present.then(begin, begin);
    return this.#next;
  }

  async #once() {
    this.#present = this.#next;
    this.#next = null;
    if (document.visibilityState !== "visible") return;
    let well = false;
    try {
      well = await this.#look();
    } finally {
      this.#failed = well ? 0 : this.#failed + 1;
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.now(), Math.min(SLOWEST_MS, EVERY_MS * 2 ** this.#failed));
    }
  }
}
