/**
 * The texts of the page, in the language that the server has chosen.
 *
 * All of them are in monitor/web/texts/<language>.json. The template puts that document into the
 * page as the JSON of the element #texts, so that no request is necessary.
 */

const texts = JSON.parse(document.getElementById("texts")?.textContent ?? "{}");
export const language = document.documentElement.lang || "en";
const plurals = new Intl.PluralRules(language);

/**
 * The text with this dotted key; {name} in it is replaced by values.name.
 *
 * A text with the forms one and other is chosen by values.count. A key without a text is returned
 * as it is, so that the page stays usable.
 */
export function t(key, values = {}) {
  const text = find(key);
  if (text === undefined) return key;
  return text.replaceAll(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));

  function find(wanted) {
    const found = wanted.split(".").reduce((node, part) => node?.[part], texts);
    if (typeof found === "string") return found;
    return found?.[plurals.select(values.count ?? 0)] ?? found?.other;
  }
}

/** A text of another program with a capital and a full stop (as_sentence in monitor/web/texts.py). */
export function sentence(text) {
  if (!text) return "";
  const isWord = /^\p{L}+[,:;]?(\s|$)/u.test(text);
  const begun = isWord ? text[0].toUpperCase() + text.slice(1) : text;
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}

/** The text with this key, or the fallback if there is none: for words that the daemon sends. */
export function word(group, name, fallback = name) {
  const key = `${group}.${name}`;
  const text = t(key);
  return text === key ? fallback : text;
}
