// The shares of routes in words.

import { list, percent } from "./format.js";

/** Each variant that gets requests, with its share. */
export function split({ weights }) {
  const total = Object.values(weights).reduce((sum, weight) => sum + weight, 0);
  const active = Object.entries(weights).filter(([, weight]) => weight > 0);
  return list(active.map(([name, weight]) => `${name} ${percent(weight / total)}`));
}

/** The share of the requests that other weights move to another variant, 0 to 1. */
export function moved(before, after) {
  const sum = (weights) => Object.values(weights).reduce((total, weight) => total + weight, 0);
  const share = (weights, name) => (weights[name] ?? 0) / (sum(weights) || 1);
  const names = Object.keys(after);
  return names.reduce((total, name) => total + Math.max(0, share(after, name) - share(before, name)), 0);
}
