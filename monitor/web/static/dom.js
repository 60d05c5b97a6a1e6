/** Elements of the page. Text of others is only ever set as text, never as HTML. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element with attributes and children.
 *
 * A null or false attribute is left out; a function is a listener ("onclick"). Children are
 * elements or text; null and false are left out.
 */
export function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/** An icon of the sprite in base.html. It is decoration: the text beside it has the meaning. */
export function icon(name) {
  return svg(
    "svg",
    { class: "icon", "aria-hidden": "true", focusable: "false" },
    svg("use", { href: `#icon-${name}` }),
  );
}

/** A time for people and, as an attribute, for programs. */
export function time(iso, text) {
  return h("time", { datetime: iso }, text);
}

/** Replace the children of an element. */
export function fill(element, ...children) {
  element.replaceChildren(...usable(children));
  return element;
}

/**
 * The same where the new children are often as before. Elements that are equal stay, with the
 * keyboard's focus and what the viewer has selected; they keep their listeners.
 */
export function renew(element, ...children) {
  const earlier = [...element.children];
  const wanted = usable(children).map((child) => {
    const same = earlier.indexOf(child);
    const at = same < 0 ? earlier.findIndex((one) => one.isEqualNode(child)) : same;
    return at < 0 ? child : earlier.splice(at, 1)[0];
  });
  keepFocus(() => {
    for (const one of earlier) one.remove();
    wanted.forEach((child, at) => {
      if (element.children[at] !== child) element.insertBefore(child, element.children[at] ?? null);
    });
  });
}

/**
 * Make a change that moves or replaces elements, and give the keyboard's focus back: to the element,
 * to a link with the same address, or to the first button or the choice of the area in which it was.
 */
export function keepFocus(change, area = null) {
  const focused = document.activeElement;
  const wasInside = Boolean(area?.contains(focused));
  change();
  if (!focused || focused === document.activeElement) return;
  const href = focused.getAttribute("href");
  const link = href ? document.querySelector(`a[href="${CSS.escape(href)}"]`) : null;
  const found = focused.isConnected ? focused : (link ?? (wasInside ? area.querySelector("button, input:checked") : null));
  found?.focus({ preventScroll: true });
}

/** Set the text only if it has changed, so that a screen reader does not repeat it. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Set or remove an attribute. */
export function setAttribute(element, name, value) {
  if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, String(value));
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else setAttribute(element, name, value);
  }
  element.append(...usable(children));
  return element;
}

function usable(children) {
  return children.flat().filter((child) => child !== null && child !== undefined && child !== false);
}
