// Watch: looks again and again while the page is visible, and less often while the server does not answer.

const EVERY_MS = 1000;
const SLOWEST_MS = 15_000;

/** Calls `look` about every second, without two at once. `look` resolves to whether it went well. */
export class Watch {
  #look;
  #timer = 0;
  #failed = 0;
  #busy = null;

  constructor(look) {
    this.#look = look;
    document.addEventListener("visibilitychange", () => this.now());
  }

  /** Look now, or again after the look that is under way; resolves when it is done. */
  async now() {
    clearTimeout(this.#timer);
    while (this.#busy) await this.#busy;
    if (document.visibilityState !== "visible") return;
    this.#busy = this.#once();
    await this.#busy;
  }

  async #once() {
    const well = await this.#look();
    this.#failed = well ? 0 : this.#failed + 1;
    clearTimeout(this.#timer);
    const wait_ms = Math.min(SLOWEST_MS, EVERY_MS * 2 ** this.#failed);
    this.#timer = setTimeout(() => this.now(), wait_ms);
    this.#busy = null;
  }
}
