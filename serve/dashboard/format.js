// Format numbers, shares, times and lists for people.

// A thin non-breaking space between thousands and before units.
const THIN = "\u202f";
const NONE = "–";

/** A whole number with thin spaces between its thousands. */
export function count(value) {
  if (value === null || value === undefined) return NONE;
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, THIN);
}

/** A number with three significant digits, never in powers of ten. */
export function short(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
  const size = Math.abs(value);
  if (size >= 1000) return (value < 0 ? "−" : "") + count(size);
  const digits =
    size >= 100
      ? 0
      : size >= 10
        ? 1
        : size >= 1 || size === 0
          ? 2
          : Math.min(6, 2 - Math.floor(Math.log10(size)));
  const text = Math.abs(value).toFixed(digits);
  return (value < 0 ? "−" : "") + (text.includes(".") ? text.replace(/\.?0+$/, "") : text);
}

/** Milliseconds with three significant digits. */
export function ms(value) {
  return value === null || value === undefined ? NONE : `${short(value)}${THIN}ms`;
}

/** The same with a fixed number of decimals, so that numbers in a column can be compared. */
export function exactMs(value) {
  if (value === null || value === undefined) return NONE;
  return `${value < 100 ? value.toFixed(value < 10 ? 2 : 1) : count(value)}${THIN}ms`;
}

/** A share from 0 to 1 in percent. */
export function percent(share) {
  if (share === null || share === undefined) return NONE;
  const text = short(share * 100);
  // A share just below 1 must not be shown as 100 %.
  return `${text === "100" && share < 1 ? "99.99" : text}${THIN}%`;
}

/** A share in percent with two decimals, for columns. */
export function exactPercent(share) {
  return share === null || share === undefined ? NONE : `${(share * 100).toFixed(2)}${THIN}%`;
}

/** A time in its largest suitable unit. */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const parts = [
    [86400, "d"],
    [3600, "h"],
    [60, "min"],
    [1, "s"],
  ];
  const first = parts.findIndex(([size]) => whole >= size);
  if (first < 0) return `0${THIN}s`;
  const [size, name] = parts[first];
  const rest = first < 2 ? Math.floor((whole % size) / parts[first + 1][0]) : 0;
  const more = rest ? ` ${rest}${THIN}${parts[first + 1][1]}` : "";
  return `${Math.floor(whole / size)}${THIN}${name}${more}`;
}

/** How long ago a time was. */
export function ago(at_s, now_s) {
  return now_s - at_s < 1.5 ? "just now" : `${duration(now_s - at_s)} ago`;
}

/** A time in full, in the reader's time zone. */
export function moment(at_s) {
  const time = new Date(at_s * 1000);
  const two = (number) => String(number).padStart(2, "0");
  const day = [time.getFullYear(), two(time.getMonth() + 1), two(time.getDate())].join("-");
  return `${day} ${[time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(":")}`;
}

/** Odds from the natural log of an e-value; beyond 160,000 as a power of ten. */
export function odds(log) {
  if (log < Math.log(0.01)) return "below 0.01";
  if (log < 12) return short(Math.exp(log));
  const power = Math.round(log / Math.LN10);
  return power > 99 ? "over 10⁹⁹" : `10${raised(power)}`;
}

function raised(power) {
  return [...String(power)].map((digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]).join("");
}

/** A text of the server, with its numbers formatted like the page's. */
export function formatNumbers(text) {
  return text
    .replace(/(?<=\d),(?=\d{3}(?!\d))/g, THIN)
    .replace(/(?<=\d) (?=(%|s|ms)(?!\w))/g, THIN)
    .replace(/\b10\^(\d+)\b/g, (_, power) => `10${raised(power)}`);
}

/** "a", "a and b", "a, b and c". */
export function list(items) {
  return items.length < 2 ? items.join("") : `${items.slice(0, -1).join(", ")} and ${items.at(-1)}`;
}

/** A number with its noun. */
export function plural(number, one, more = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : more}`;
}
