// What all parts of the page build with. Texts become text, never markup.

/** An element with properties and children; texts become text. */
export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** What somebody else wrote, which may run from right to left: it turns nothing around it. */
export const foreign = (text) => element("bdi", {}, text);

/** Seconds as a person says them. */
export function duration(seconds) {
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const [unit, size] = units.find(([, size]) => seconds >= size) ?? ["s", 1];
  return `${Math.floor(seconds / size)} ${unit}`;
}
