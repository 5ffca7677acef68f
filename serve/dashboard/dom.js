// Create the elements of the page, and update the existing ones to match.

const SVG = "http://www.w3.org/2000/svg";
const HANDLERS = [
  "onclick",
  "onsubmit",
  "oninput",
  "onchange",
  "onpointermove",
  "onpointerleave",
  "onkeydown",
];

/** An HTML element. `tag` may bring classes, as in "div.card"; strings among `children` become text. */
export function h(tag, props, ...children) {
  const [name, ...classes] = tag.split(".");
  return fill(document.createElement(name), classes, props, children);
}

/** The same for SVG. */
export function s(tag, props, ...children) {
  const [name, ...classes] = tag.split(".");
  return fill(document.createElementNS(SVG, name), classes, props, children);
}

function fill(element, classes, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (HANDLERS.includes(name)) element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  if (classes.length) element.classList.add(...classes);
  // append() turns strings into text nodes, so texts of the server are never parsed as markup.
  element.append(
    ...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}

/** Make `old` equal to `fresh` but keep its elements, so that focus, selection and open details stay. */
export function morph(old, fresh) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  for (const { name } of [...old.attributes]) {
    // Only the reader closes a <details> that the reader has opened.
    if (!fresh.hasAttribute(name) && !(name === "open" && old.localName === "details"))
      old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const name of HANDLERS) old[name] = fresh[name];
  morphChildren(old, [...fresh.childNodes]);
}

function morphChildren(old, fresh) {
  const keyed = new Map(
    [...old.children].filter((child) => child.dataset.key).map((child) => [child.dataset.key, child]),
  );
  let here = old.firstChild;
  for (const child of fresh) {
    const same = child.dataset?.key ? keyed.get(child.dataset.key) : here;
    if (!same || !sameElement(same, child)) {
      old.insertBefore(child, here);
      continue;
    }
    if (same === here) here = here.nextSibling;
    else old.insertBefore(same, here);
    morph(same, child);
  }
  while (here) {
    const next = here.nextSibling;
    here.remove();
    here = next;
  }
}

function sameElement(old, fresh) {
  return (
    old.nodeType === fresh.nodeType &&
    old.nodeName === fresh.nodeName &&
    old.dataset?.key === fresh.dataset?.key
  );
}
