// Load repeatedly while the page is visible, and less often while the server does not answer.

const EVERY_MS = 1000;
const SLOWEST_MS = 15_000;

/** Call `load` about every second, one at a time. `load` resolves to whether it succeeded. */
export class Poller {
  #load;
  #timer = 0;
  #failed = 0;
  // The present or last load, and the one that follows directly, if any.
  #present = Promise.resolve();
  #next = null;

  constructor(load) {
    this.#load = load;
    document.addEventListener("visibilitychange", () => this.now());
  }

  /** Load now, or once after the present load; resolves when it is done. */
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
      well = await this.#load();
    } finally {
      this.#failed = well ? 0 : this.#failed + 1;
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.now(), Math.min(SLOWEST_MS, EVERY_MS * 2 ** this.#failed));
    }
  }
}
