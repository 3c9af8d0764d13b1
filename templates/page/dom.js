// Making nodes. Text is always text: nothing on this page is read as markup.

const NAMESPACES = {svg: "http://www.w3.org/2000/svg", math: "http://www.w3.org/1998/Math/MathML"};

function make(space, tag, attributes, children) {
  const node = space ? document.createElementNS(NAMESPACES[space], tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.flat(Infinity).filter(child => child !== null && child !== undefined));
  return node;
}
const el = (tag, attributes, ...children) => make("", tag, attributes, children);
const svg = (tag, attributes, ...children) => make("svg", tag, attributes, children);
const mml = (tag, attributes, ...children) => make("math", tag, attributes, children);
const byId = id => document.getElementById(id);
const refill = (node, ...children) => node.replaceChildren(...children.flat(Infinity).filter(child => child !== null && child !== undefined));
const button = (text, onclick, attributes) => el("button", {type: "button", ...attributes, onclick}, text);
