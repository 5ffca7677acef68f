// Look repeatedly while the page is visible, and less often while the server does not answer.

const EVERY_MS = 1000;
const SLOWEST_MS = 15_000;

/** Call `look` about every second, one at a time. `look` resolves to whether it succeeded. */
export class Watch {
  #look;
  #timer = 0;
  #failed = 0;
  // The present or last look, and the one that follows directly, if any.
  #present = Promise.resolve();
  #next = null;

  constructor(look) {
    this.#look = look;
    document.addEventListener("visibilitychange", () => this.now());
  }

  /** Look now, or once after the present look; resolves when it is done. */
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
