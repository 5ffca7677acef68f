// Shares: what routes ask for, in words.

import { list, percent } from "./words.js";

/** Each variant that gets requests, with its share. */
export function split({ weights }) {
  const total = Object.values(weights).reduce((sum, weight) => sum + weight, 0);
  const active = Object.entries(weights).filter(([, weight]) => weight > 0);
  return list(active.map(([name, weight]) => `${name} ${percent(weight / total)}`));
}
