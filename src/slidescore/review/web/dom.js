// Making and finding elements. Styles are never written into attributes: the content policy forbids it.

const SVG = "http://www.w3.org/2000/svg";

/** Find an element that the page is known to have. */
export const byId = (id) => document.getElementById(id);

/** Make an element: attributes (false and null are left out, `on…` are listeners) and children (text is escaped). */
export function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Make an SVG element. */
export function makeSvg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** Make a drawing that screen readers read as one picture with these words. */
export function makePicture(words, { width, height, style = "" }, ...children) {
  const size = { width, height, viewBox: `0 0 ${width} ${height}`, class: style, role: "img", "aria-label": words };
  return makeSvg("svg", size, ...children);
}

/** Put children into an element in place of what it holds; missing ones are left out. */
export function put(element, ...children) {
  element.replaceChildren();
  return fill(element, {}, children);
}

/** Show or hide an element. */
export function toggle(element, shown) {
  element.hidden = !shown;
}

/** Call the function once, when calls have stopped coming for so long. */
export function whenQuiet(milliseconds, act) {
  let timer;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...args), milliseconds);
  };
}

/** Tell screen readers what happened; the page has one live region. */
export function announce(text) {
  const region = byId("announce");
  // The same words twice would not be read twice.
  region.textContent = region.textContent === text ? `${text}\u00a0` : text;
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    // In aria-pressed and its like true and false are words; elsewhere an attribute is there or not.
    const said = name.startsWith("aria-") || name.startsWith("data-") ? value?.toString() : value;
    if (said === false || said === null || said === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, said === true ? "" : said);
  }
  element.append(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}
