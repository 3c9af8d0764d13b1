// A line that the reader types in LaTeX: `\delta h_t \odot o_t \odot (1 - \tanh^2(c_t)) + \delta c_{t+1} \odot f_{t+1}`.
// Text -> tokens -> a tree of what stands where -> an expression; shapes decide which product is meant. What `lstmgen audit`
// reads of such a line is read here in the same way, or not at all: nothing is guessed.

const letters = (names, first) => names.split(" ").map((name, k) => [name, String.fromCharCode(first + k)]);
const SMALL = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho final sigma tau upsilon phi chi psi omega";
const GREEK = bare({...byName(letters(SMALL, 0x3b1)), ...byName(letters(SMALL.replace(/\b./g, first => first.toUpperCase()), 0x391)),
  varepsilon: "ε", vartheta: "θ", varphi: "φ", varrho: "ρ", varsigma: "σ", ell: "ℓ"});
const MARKS = {__proto__: null, odot: "⊙", circ: "⊙", bullet: "⊙", cdot: "·", times: "×", otimes: "⊗", ast: "*", star: "⋆", div: "/",
  partial: "∂", nabla: "∇", sum: "Σ", prod: "Π", top: "⊤", intercal: "⊤", transpose: "⊤", prime: "'", quad: ",", qquad: ","};
const PLAIN_SIGNS = {__proto__: null, "∘": "⊙", "•": "⊙", "⋅": "·", "−": "-", "∑": "Σ", "ᵀ": "^⊤", "′": "'", "’": "'", "²": "^2", "³": "^3"};
const PRODUCTS = "⊙·×*⊗⋆", OPENING = "([<", CLOSING = ")]>";
const NO_INK = new Set(("left right middle big Big bigg Bigg bigl bigr Bigl Bigr displaystyle textstyle limits nolimits nonumber " +
  "bf rm it cal mathstrut bfseries , : ; ! >").split(" ").concat(" "));
const FONTS = new Set("mathbf boldsymbol bm pmb vec mathcal mathscr mathbb mathrel mathbin boxed".split(" "));
const WORD_FONTS = new Set("mathrm operatorname mathsf mathit text textrm mathtt texttt".split(" "));
const OVER = {__proto__: null, bar: "bar", overline: "bar", hat: "hat", widehat: "hat", tilde: "tilde", widetilde: "tilde"};
const FRACTIONS = new Set(["frac", "dfrac", "tfrac", "cfrac"]);
const NAMED_FUNCTIONS = {__proto__: null, "σ": "sigmoid", sigm: "sigmoid", logistic: "sigmoid", swish: "silu", sgn: "sign", ln: "log",
  LN: "layer_norm"};
const LOSS_LETTERS = new Set(["E", "L", "J", "C", "ℓ", "Error", "Loss", "loss", "Cost", "cost", "error"]);
const MOST_TOKENS = 2000, DEEPEST = 40;

const isLatex = text => /\\[A-Za-z]|[_^]\s*[{<⟨]|\^\(?t(?!\w)|∂|∇/.test(text) ||
  (text.match(/\w*_t(?!\w)/g) ?? []).some(name => !(name in CELL.shapes));

function latexTokens(text) {
  const found = [];
  const pattern = /\\([A-Za-z]+)|\\(.)|((?<![A-Za-z])(?:tanh|sigmoid|softmax|softplus|exp|log|diag|relu)(?![A-Za-z]))|(\d+(?:\.\d+)?|\.\d+)|(\s+|[~&$])|(.)/suy;
  for (let match; pattern.lastIndex < text.length && (match = pattern.exec(text));) {
    const [, command, escaped, word, number, space, other] = match, {index: at} = match;
    if (space) continue;
    const said = PLAIN_SIGNS[other] ?? other;
    if (command ?? escaped) found.push({command: command ?? escaped, at});
    else if (number) found.push({number, at});
    else if (word || /^\p{L}$/u.test(said)) found.push({letter: word ?? said, at});
    else found.push(...[...said].map(sign => /\d/.test(sign) ? {number: sign, at} : {sign, at}));
    if (found.length > MOST_TOKENS) throw new Unread("the line is too long", at);
  }
  return found;
}

// ---------------------------------------------------------------- what stands where

// Nodes: {letter}, {number}, {mark}, {group}, {open, items}, {base, sub, sup, primes}, {accent, body}, {top, bottom}, {root}.
class LatexTree {
  constructor(text) { Object.assign(this, {tokens: latexTokens(text), at: 0, depth: 0, end: text.length}); }

  get next() { return this.tokens[this.at] ?? {at: this.end}; }
  is(sign) { return this.next.sign === sign; }

  whole() {
    const items = this.items();
    if (this.at < this.tokens.length) throw new Unread(`“${this.next.sign ?? `\\${this.next.command}`}” closes nothing that was opened`, this.next.at);
    return items;
  }

  closes(inScripts) {
    const {sign, command} = this.next;
    return sign === "}" || ["}", "rangle", "rbrack"].includes(command) || (sign && ")]".includes(sign)) || (inScripts && (sign === ">" || command === "gt"));
  }

  items(inScripts = false) {
    if (++this.depth > DEEPEST) throw new Unread("it is nested too deep", this.next.at);
    const found = [];
    while (this.at < this.tokens.length && !this.closes(inScripts)) {
      const node = this.node(inScripts);
      if (node) found.push(this.scripted(node));
    }
    this.depth--;
    return found;
  }

  scripted(node) {
    const sub = [], sup = [];
    let primes = 0;
    for (let sign; ["_", "^", "'"].includes(sign = this.next.sign);) {
      const at = this.tokens[this.at++].at;
      if (sign === "'") { primes++; continue; }
      const script = this.argument(true), held = sign === "_" ? sub : sup;
      if (!script.length) throw new Unread(`nothing stands behind “${sign}”`, at);
      if (script.every(each => each.mark === "'")) primes += script.length;
      else held.push(...(held.length ? [{mark: ",", at}] : []), ...script);
    }
    return sub.length || sup.length || primes ? {base: node, sub, sup, primes, at: node.at} : node;
  }

  argument(inScripts = false) {
    if (this.at >= this.tokens.length) throw new Unread("the line ends too early", this.end);
    if (this.is("{")) return this.braces(inScripts);
    const {number, at} = this.next;
    if (number?.length > 1) { // \frac12: one digit
      if (inScripts) throw new Unread(`put “${number}” into braces`, at);
      this.tokens.splice(this.at, 1, {number: number[0], at}, {number: number.slice(1), at: at + 1});
    }
    const node = this.node(inScripts);
    return node ? [node] : [];
  }

  braces(inScripts) {
    const {at} = this.tokens[this.at++], items = this.items(inScripts);
    if (!this.is("}")) throw new Unread("this brace is never closed", at);
    this.at++;
    return items;
  }

  node(inScripts) {
    const token = this.tokens[this.at++], {at, sign} = token;
    if (token.command) return this.command(token, inScripts);
    if (token.letter) return {letter: token.letter, at};
    if (token.number) return {number: token.number, at};
    if (sign === "{") { this.at--; return {group: this.braces(inScripts), at}; }
    if ("([".includes(sign) || (sign === "<" && inScripts) || sign === "⟨") return this.fence(sign === "⟨" ? "<" : sign, at, inScripts);
    return {mark: sign, at};
  }

  fence(open, at, inScripts) {
    const items = this.items(inScripts || open === "<"), {sign, command} = this.next;
    const closed = command ? {rangle: ">", gt: ">", rbrack: "]"}[command] : sign === "⟩" ? ">" : sign;
    if (closed === undefined || closed === "}") throw new Unread(`this “${open}” is never closed`, at);
    if (closed !== CLOSING[OPENING.indexOf(open)]) throw new Unread(`“${closed}” closes a “${open}”`, this.next.at);
    this.at++;
    return {open, items, at};
  }

  command({command, at}, inScripts) {
    if (command in GREEK) return {letter: GREEK[command], at};
    if (command in MARKS) return {mark: MARKS[command], at};
    if (NO_INK.has(command)) return null;
    if (["tanh", "exp", "log", "ln", "sin", "cos", "max", "min", "sech"].includes(command)) return {letter: command, at};
    if (command === "langle" || (command === "lt" && inScripts)) return this.fence("<", at, inScripts);
    if (command === "lbrack") return this.fence("[", at, inScripts);
    if (WORD_FONTS.has(command)) return this.word(at, inScripts);
    if (FONTS.has(command)) return one(this.argument(inScripts), at);
    if (command in OVER) return {accent: OVER[command], body: one(this.argument(inScripts), at), at};
    if (FRACTIONS.has(command)) return {top: this.argument(), bottom: this.argument(), at};
    if (command === "sqrt") return {root: this.argument(), at};
    if (command === "underbrace" || command === "overbrace") {
      const body = {group: this.argument(inScripts), at};
      while (this.is("_") || this.is("^")) { this.at++; this.argument(); }
      return body;
    }
    throw new Unread(`\\${command} is not known here`, at);
  }

  // Upright letters are one word; an upright T is a transpose.
  word(at, inScripts) {
    const items = this.argument(inScripts);
    if (!items.every(each => each.letter || each.mark === "_")) return one(items, at);
    const text = items.map(each => each.letter ?? "_").join("");
    return text === "T" ? {mark: "⊤", at} : {letter: text, at};
  }
}

const one = (items, at) => items.length === 1 ? items[0] : {group: items, at};
const flat = items => items.map(flatNode).join("");
function flatNode(node) {
  if (node.base) return flatNode(node.base) + flat(node.sub) + flat(node.sup) + "'".repeat(node.primes);
  if (node.open) return node.open + flat(node.items) + CLOSING[OPENING.indexOf(node.open)];
  if (node.accent) return node.accent + flatNode(node.body);
  if (node.top) return `${flat(node.top)}/${flat(node.bottom)}`;
  return node.letter ?? node.number ?? node.mark ?? flat(node.group ?? node.root);
}
const bodyOf = node => node.base ?? node;

// ---------------------------------------------------------------- symbols

// The step that a script is, as a lag; null where it is none.
function stepOf(said, raised, at) {
  const inner = /^[(<\[]([^()<>[\]]*)[)>\]]$/.exec(said)?.[1], text = inner ?? said;
  if (["prev", "previous", "old", "last"].includes(text)) return -1;
  if (text === "next") throw new Unread("“next” can mean two steps: write t or t+1", at);
  const found = /^t(?:([+-]\d{1,3}))?$/.exec(text);
  if (found) return Number(found[1] ?? 0);
  if ((/^T([+-]\d+)?$/.test(text) && (inner || text !== "T" || !raised)) || (inner && /^\d+$/.test(inner))) {
    throw new Unread("a step by its number is not read here: write t", at);
  }
  return null;
}

// A letter with accents and scripts: its name, and what stands above and below; null where a node is something else.
function symbolOf(node) {
  if (node.letter) return {letter: node.letter, accents: [], marks: [], step: null, power: null, turned: false, primes: 0, at: node.at};
  if (node.group?.length === 1) return symbolOf(node.group[0]);
  if (node.accent) {
    const inside = symbolOf(node.body);
    return inside && {...inside, accents: [...inside.accents, node.accent]};
  }
  const found = node.base && symbolOf(node.base);
  if (!found) return null;
  found.primes += node.primes;
  for (const [script, raised] of [[node.sub, false], [node.sup, true]]) {
    for (const part of parted(script)) addScript(found, part, raised);
  }
  return found;
}

function parted(items) {
  const found = [[]];
  for (const node of items) (node.mark === "," || node.mark === ";") ? found.push([]) : found.at(-1).push(node);
  return found.filter(part => part.length);
}

function addScript(symbol, part, raised) {
  const said = flat(part), {at} = part[0], step = stepOf(said, raised, at);
  if (step !== null) { symbol.step = step; return; }
  if (raised) {
    const turned = /^(.*?)(?:⊤|T|tr)$/.exec(said), both = turned && (turned[1] ? stepOf(turned[1], true, at) : "none");
    if (both !== null && turned) {
      symbol.turned = true;
      if (both !== "none") symbol.step = both;
      return;
    }
    if (/^-\d/.test(said)) throw new Unread("an inverse is not read: a gradient has transposes", at);
    if (/^\d+$/.test(said)) { symbol.power = Number(said); return; }
  }
  const inner = part.length === 1 && part[0].base ? symbolOf(part[0]) : null;
  if (inner && inner.step !== null && symbol.step === null) {
    symbol.marks.push(inner.letter + inner.marks.join(""));
    symbol.step = inner.step;
  } else symbol.marks.push((/^[(<\[]([^()<>[\]]*)[)>\]]$/.exec(said)?.[1] ?? said).replaceAll("_", ""));
}

const keyOf = (letter, accents, marks) => `${accents.join(".")}:${letter}:${marks.join("").replace("⋆", "*")}`;
const symbolTold = ({letter, accents, marks}) => accents.reduce((text, accent) => `${accent}(${text})`, letter) + marks.map(mark => `_${mark}`).join("");

// What symbols mean: those of the chosen notation, the spec's own, then those of all other notations that agree.
function namesOf(chosen) {
  const sure = bare(), others = bare();
  const enter = ({symbols}, add) => Object.entries(symbols).forEach(([name, [letter, accents = [], sub = [], sup = []]]) =>
    name !== CELL.loss && name in CELL.shapes && add(keyOf(letter, accents, [...sub, ...sup].map(mark => mark.replace(/^'/, ""))), name));
  for (const id of [chosen, CELL.notations[0].id]) enter(NOTATIONS[id], (key, name) => { sure[key] ??= name; });
  for (const name of Object.keys(CELL.shapes)) if (name !== CELL.loss) sure[keyOf(name, [], [])] ??= name;
  for (const notation of Object.values(NOTATIONS)) enter(notation, (key, name) => { (others[key] ??= new Set()).add(name); });
  return {sure, others};
}

// ---------------------------------------------------------------- what it means

// Terms: an expression with its shape; `row`: a vector written as a row; `diagonal`: a matrix with e on its diagonal.
class LatexReader {
  constructor(text, asked) {
    Object.assign(this, {text, asked, summed: 0, names: namesOf(view.notation)});
    this.sizes = byName(CELL.dims.map((symbol, k) => [symbol, 1009 + 997 * k]));  // shapes, as numbers
  }

  read() {
    const items = new LatexTree(this.text).whole(), at = items.findIndex(node => node.mark === "=");
    if (at >= 0) this.checkLeft(items.slice(0, at), items[at].at);
    const right = items.slice(at + 1);
    if (!right.length) throw new Unread("write a formula", this.text.length);
    const second = right.find(node => node.mark === "=");
    if (second) throw new Unread("one equation at a time", second.at);
    this.terms = undefined;
    const whole = this.row(right, right[0].at);
    if (whole.diagonal) throw new Unread("diag is read where a vector is beside it", whole.at);
    if (this.summed && this.summed !== this.terms) throw new Unread("some of these terms are summed over t and others are not", right[0].at);
    return whole.e;
  }

  checkLeft(items, at) {
    const plus = items.at(-1)?.mark === "+", left = items.length > Number(plus) ? this.row(plus ? items.slice(0, -1) : items, at) : null;
    if (left && !(left.e[0] === "d" && left.e[1] === this.asked && !left.e[2])) {
      throw new Unread(`on the left stands another value: the line is asked for d_${this.asked} at step t`, items[0].at);
    }
  }

  // A sum of terms.
  row(items, at) {
    const outermost = this.terms === undefined, parts = [[1, []]];
    for (const node of items.filter(({mark}) => mark !== "," && mark !== ".")) {
      if (node.mark !== "+" && node.mark !== "-") parts.at(-1)[1].push(node);
      else if (parts.at(-1)[1].length) parts.push([node.mark === "-" ? -1 : 1, []]);
      else parts.at(-1)[0] *= node.mark === "-" ? -1 : 1;
    }
    if (!parts.at(-1)[1].length) throw new Unread("something is missing behind the sign", at);
    if (outermost) this.terms = parts.length;
    const terms = parts.map(([sign, nodes]) => [sign, this.product(this.unsummed(withFractions(nodes), outermost))]);
    const arrays = terms.map(([, term]) => term).filter(({shape}) => shape.length);
    for (const term of arrays) this.alike(arrays[0], term, "a sum");
    if (terms.length === 1 && terms[0][0] === 1) return terms[0][1];
    if (arrays.some(term => term.diagonal)) throw new Unread("diag is read where a vector is beside it", at);
    const signed = terms.map(([sign, {e}]) => sign < 0 ? ["-", e] : e);
    return {e: signed.length > 1 ? ["+", ...signed] : signed[0], shape: (arrays[0] ?? terms[0][1]).shape, at,
      row: arrays.length > 0 && arrays.every(term => term.row)};
  }

  // The gradient of a parameter is asked for step by step: a sum over all t before a term goes without saying.
  unsummed(nodes, outermost) {
    const first = nodes[0], sign = bodyOf(first).mark;
    if (sign !== "Σ") return nodes;
    const below = flat(first.sub ?? []), above = flat(first.sup ?? []);
    if (!outermost || !STATIC.has(this.asked) || !["", "t", "t=1"].includes(below) || !["", "T"].includes(above) || nodes.length < 2) {
      throw new Unread("a sum is read over all t, and before a term of a parameter’s gradient", first.at);
    }
    this.summed++;
    return nodes.slice(1);
  }

  // Factors with a sign between them; those beside each other bind more tightly.
  product(nodes) {
    const factors = [[]], signs = [];
    for (const node of nodes) {
      if (node.mark && (PRODUCTS + "/").includes(node.mark)) { factors.push([]); signs.push(node.mark); }
      else factors.at(-1).push(node);
    }
    if (factors.some(each => !each.length)) throw new Unread("a factor is missing", (nodes.find(node => node.mark) ?? nodes[0]).at);
    const terms = factors.map(each => this.beside(each));
    for (let k; (k = signs.indexOf("/")) >= 0; signs.splice(k, 1)) terms.splice(k, 2, this.divided(terms[k], terms[k + 1]));
    return this.chain(terms, signs);
  }

  beside(nodes) {
    const terms = [];
    for (let k = 0; k < nodes.length;) {
      const [term, used] = this.atom(nodes.slice(k));
      terms.push(term);
      k += used;
    }
    return this.chain(terms, terms.slice(1).map(() => ""));
  }

  atom(nodes) {
    const [node] = nodes, found = this.gradient(nodes) ?? this.called(nodes);
    if (found) return found;
    if (node.number) return [this.scalar(Number(node.number), node.at), 1];
    if (node.top) return [this.derivative(node) ?? this.divided(this.row(node.top, node.at), this.row(node.bottom, node.at)), 1];
    if (node.root) return [this.applied("sqrt", [this.row(node.root, node.at)], node.at), 1];
    if (node.open === "(" || node.open === "[") return [this.fenced(node), 1];
    if (node.group && !symbolOf(node)) return [this.row(node.group, node.at), 1];
    if (node.base && !symbolOf(node)) return [this.raised(this.atom([node.base])[0], node), 1];
    const symbol = symbolOf(node);
    if (!symbol) throw new Unread(`“${flatNode(node)}” is not read here`, node.at);
    const used = this.takeStep(symbol, nodes[1]), value = this.value(symbol);
    return [symbol.power === null ? value : this.power(value, symbol.power), 1 + used];
  }

  scalar(number, at) { return {e: number, shape: [], at}; }

  fenced({open, items, at}) {
    if (!items.length) throw new Unread("empty brackets", at);
    const cells = parted(items);
    if (cells.length === 1) return this.row(cells[0], at);
    const parts = cells.map(cell => this.row(cell, cell[0].at)), odd = parts.find(part => part.shape.length !== 1);
    if (odd) throw new Unread("a stack is made of vectors", odd.at);
    return {e: ["f", "concat", ...parts.map(part => part.e)], shape: [parts.reduce((sum, part) => sum + part.shape[0], 0)], at};
  }

  raised(term, {sub, sup, primes, at}) {
    const said = flat(sup);
    if (sub.length || primes) throw new Unread("an index or a prime behind a bracket", at);
    if (/^(⊤|T|tr)$/.test(said)) return this.turned(term);
    if (/^\d+$/.test(said)) return this.power(term, Number(said));
    throw new Unread(`“${said}” above a bracket`, sup[0].at);
  }

  // ---------------------------------------------------------------- values

  takeStep(symbol, behind) {                     // c(t-1)
    if (symbol.step !== null || (behind?.open !== "(" && behind?.open !== "[") || !/^t([+-]\d+)?$/.test(flat(behind.items))) return 0;
    symbol.step = stepOf(flat(behind.items), false, behind.at);
    return 1;
  }

  // The name of a value; null if it is none. A step may end its last script, as in W_{ft}.
  find(symbol) {
    const look = ({letter, accents, marks, primes}) => [marks, [...marks].reverse()].map(each => keyOf(letter + "'".repeat(primes), accents, each))
      .map(key => this.names.sure[key] ?? this.agreed(key, symbol)).find(Boolean) ?? null;
    const name = look(symbol), last = /^(.+?)t([+-]\d{1,3})?$/.exec(symbol.marks.at(-1) ?? "");
    if (name || !last || symbol.step !== null) return name;
    const split = look({...symbol, marks: [...symbol.marks.slice(0, -1), last[1]]});
    if (split && !STATIC.has(split)) symbol.step = Number(last[2] ?? 0);
    return split && !STATIC.has(split) ? split : null;
  }

  agreed(key, symbol) {
    const names = [...(this.names.others[key] ?? [])];
    if (names.length > 1) throw new Unread(`“${symbolTold(symbol)}” is ${names.join(" or ")}: choose the notation at the drawing`, symbol.at);
    return names[0];
  }

  named(symbol) {
    const name = this.find(symbol);
    if (!name) throw new Unread(`“${symbolTold(symbol)}” is no value of this cell in any notation`, symbol.at);
    return name;
  }

  leaf(kind, name, symbol) {
    const term = {e: [kind, name, STATIC.has(name) ? 0 : symbol.step ?? 0], shape: sizesOf(name, this.sizes), at: symbol.at};
    return symbol.turned ? this.turned(term) : term;
  }

  value(symbol) {
    const name = this.find(symbol), text = symbol.letter + symbol.marks.map(mark => `_${mark}`).join("");
    if (!name && symbol.step === null && !symbol.accents.length) {
      if (text in CELL.language.constants) return this.scalar(CELL.language.constants[text], symbol.at);
      if (CELL.dims.includes(text)) return {e: ["s", text], shape: [], at: symbol.at};
    }
    return this.leaf("v", name ?? this.named(symbol), symbol);
  }

  isLoss(node) {
    const symbol = node && symbolOf(node);
    if (!symbol || !LOSS_LETTERS.has(symbol.letter) || this.find(symbol)) return false;
    if (symbol.step !== null) throw new Unread("the loss of one step: write the loss without t, and \\Delta for what comes from outside", node.at);
    return !symbol.marks.length;
  }

  // \delta c_t, \delta_{c,t}, \delta^c_t, dc_t, \nabla_{c_t} E, and \Delta h_t for what comes from outside.
  gradient(nodes) {
    const [node] = nodes, letter = bodyOf(node).letter, sign = bodyOf(node).mark;
    if (sign === "Σ" || sign === "Π") throw new Unread("a sum or a product over an index is not read here", node.at);
    if (sign === "∇") return this.nabla(nodes);
    if (sign === "∂") throw new Unread("∂ is read in a fraction, as \\frac{\\partial E}{\\partial c_t}", node.at);
    if (!["δ", "Δ", "d"].includes(letter) && !/^d[A-Za-z]/.test(letter ?? "")) return null;
    const whole = symbolOf(node);
    if (this.names.sure[keyOf(whole.letter, whole.accents, whole.marks)] !== undefined) return null;
    const kind = letter === "Δ" ? "o" : "d";
    if (letter.length > 1 && letter !== "diag") return this.find({...whole, letter: letter.slice(1)}) && [this.arriving(kind, {...whole, letter: letter.slice(1)}), 1];
    const inner = node.base && this.scriptOf(node);
    if (inner) return [this.arriving(kind, inner), 1];
    if (kind === "o" && node.base && !whole.marks.length && CELL.outputs.length === 1) return [this.leaf("o", CELL.outputs[0], whole), 1];
    const follows = !node.base && nodes[1] ? symbolOf(nodes[1]) : null;
    if (!follows) {
      if (letter === "d" || letter === "diag") return null;
      throw new Unread(`this ${letter} does not say of which value`, node.at);
    }
    const used = this.takeStep(follows, nodes[2]);
    return letter === "d" && !this.find(follows) ? null : [this.arriving(kind, follows), 2 + used];
  }

  arriving(kind, symbol) {
    const name = this.named(symbol);
    if (symbol.power !== null || symbol.primes) throw new Unread("a power or a prime at a gradient: put brackets around it", symbol.at);
    if (kind === "o" && !CELL.outputs.includes(name)) throw new Unread(`${name} is no output: nothing comes to it from outside`, symbol.at);
    if (kind === "d" && !(name in GRADIENT)) throw new Unread(`${name} has no gradient`, symbol.at);
    return this.leaf(kind, name, symbol);
  }

  // The value that stands in the scripts of a delta, with its step.
  scriptOf(node) {
    let found = null, step = null, turned = false;
    for (const [script, raised] of [[node.sub, false], [node.sup, true]]) {
      for (const part of parted(script)) {
        const said = flat(part), {at} = part[0], moment = stepOf(said, raised, at);
        const symbol = part.length === 1 ? symbolOf(part[0]) : part.slice(0, -1).every(each => each.letter) && symbolOf(part.at(-1));
        if (moment !== null) step = moment;
        else if (raised && /^(⊤|T)$/.test(said)) turned = true;
        else if (raised && /(⊤|T)$/.test(said) && stepOf(said.slice(0, -1), true, at) !== null) [turned, step] = [true, stepOf(said.slice(0, -1), true, at)];
        else if (!symbol || found) throw new Unread(`“${said}” names no single value`, at);
        else found = {...symbol, letter: part.slice(0, -1).map(each => each.letter).join("") + symbol.letter};
      }
    }
    return found && {...found, step: step ?? found.step, turned: turned || found.turned, at: node.at};
  }

  nabla(nodes) {
    const [node, behind] = nodes, inner = node.base && this.scriptOf(node);
    if (!inner) throw new Unread("this ∇ does not say of which value", node.at);
    return [this.arriving("d", inner), behind && this.isLoss(behind) ? 2 : 1];
  }

  // ∂E/∂c_t, and the local derivative of one value by another.
  derivative({top, bottom, at}) {
    const begins = ([first, ...rest]) => rest.length === 1 && (bodyOf(first).mark === "∂" || bodyOf(first).letter === "d") ? rest[0] : null;
    const above = begins(top), below = begins(bottom);
    if (!below || (!above && !/^[∂d]/.test(flat(top)))) return null;
    const symbol = symbolOf(below);
    if (!above || !symbol) throw new Unread("this derivative names no single values", at);
    symbol.at = at;
    return this.isLoss(above) ? this.arriving("d", symbol) : this.local(above, symbol, at);
  }

  local(node, below, at) {
    const above = symbolOf(node), reader = above && this.named(above), target = this.named(below);
    const forks = reader ? GRADIENT[target]?.forks.filter(fork => fork.reader === reader && fork.local !== undefined && fork.kind !== "output" &&
      (STATIC.has(target) || fork.lag === (above.step ?? 0) - (below.step ?? 0))) : [];
    if (forks?.length !== 1) throw new Unread("this derivative of one value by another has to be written out", at);
    return {e: moved(expression(forks[0].local), above.step ?? 0), shape: sizesOf(target, this.sizes), at};
  }

  // ---------------------------------------------------------------- functions

  called(nodes) {
    const [node, behind] = nodes, letter = bodyOf(node).letter, symbol = letter && symbolOf(node);
    if (!symbol || symbol.accents.length) return null;
    const opens = bodyOf(behind ?? {}).open === "(" || bodyOf(behind ?? {}).open === "[";
    const plain = letter.toLowerCase().replaceAll("_", "");
    const name = NAMED_FUNCTIONS[letter] ?? CELL.language.public.find(each => each.replaceAll("_", "") === plain && each.length > 2) ??
      (["diag", "sech"].includes(plain) ? plain : undefined);
    if (!name) {
      const value = this.find({...symbol, primes: 0}), timed = /[_^][{(<\s]*t/.test(this.text) && !flat(bodyOf(behind ?? {}).items ?? []).startsWith("1-");
      if (symbol.primes || (opens && symbol.step === null && "fghφψρ".includes(letter) && (!value || (timed && !STATIC.has(value))))) {
        if (!this.find(symbol) || opens) throw new Unread(`${flatNode(node)} may be a function: write \\tanh, \\sigma or its name, and a value with its step`, node.at);
      }
      return null;
    }
    if (!opens && symbol.step !== null && this.find(symbol)) return null;
    if (!behind) throw new Unread(`${name} has no argument`, node.at);
    const [given, used] = opens ? [parted(bodyOf(behind).items).map(cell => this.row(cell, behind.at)), 1] : this.openArgument(nodes.slice(1));
    if (!given.length) throw new Unread("a function without an argument", behind.at);
    const isSech = name === "sech";
    if (isSech && symbol.power !== 2) throw new Unread("of sech, the square alone is read", node.at);
    let term = this.applied(isSech ? "tanh" : name, given, node.at, isSech ? 1 : symbol.primes);
    if (symbol.power !== null && !isSech) term = this.power(term, symbol.power);
    return [opens && behind.base ? this.raised(term, behind) : term, 1 + used];
  }

  openArgument(nodes) {                          // \tanh c_t, \sigma W x
    let [term, used] = this.atom(nodes);
    while (term.shape.length === 2 && used < nodes.length) {
      const [more, count] = this.atom(nodes.slice(used));
      [term, used] = [this.multiplied(term, more, ""), used + count];
    }
    return [[term], used];
  }

  applied(name, given, at, primes = 0) {
    const [first] = given, {macros, slopes} = CELL.language;
    if (name === "diag") {
      if (given.length > 1 || first.shape.length !== 1) throw new Unread("diag takes one vector", at);
      return {e: first.e, shape: [first.shape[0], first.shape[0]], at, diagonal: true};
    }
    const takes = name === "max" || name === "min" ? 2 : 1;
    const keeps = name in POINTWISE || (name in macros && macros[name][0].length === 1) || takes === 2 || name === "softmax" || name === "layer_norm";
    if (!keeps || given.length !== takes || given.some(each => each.diagonal)) throw new Unread(`${name} is not read here in this form`, at);
    if (primes > 1 || (primes && !(name in slopes))) throw new Unread(`the derivative of ${name} by a prime: write it out`, at);
    for (const each of given) if (each.shape.length && first.shape.length) this.alike(first, each, name);
    const shaped = given.find(each => each.shape.length) ?? first, call = ["f", name, ...given.map(each => each.e)];
    const e = primes ? replaced(slopes[name], part => part[0] !== "v" ? null : part[1] === "y" ? call : first.e) : call;
    return {e, shape: shaped.shape, row: shaped.row, at};
  }

  // ---------------------------------------------------------------- products, by shapes

  // Where it matters which product comes first, brackets are asked for.
  chain(terms, signs) {
    if (terms.length === 1) return terms[0];
    const ways = [], faults = [];
    const folds = [
      () => terms.slice(0, -1).reduceRight((whole, term, k) => this.multiplied(term, whole, signs[k]), terms.at(-1)),
      () => terms.slice(1).reduce((whole, term, k) => this.multiplied(whole, term, signs[k]), terms[0]),
    ];
    for (const fold of folds) {
      try { ways.push(fold()); } catch (error) {
        if (!(error instanceof Unread)) throw error;
        faults.push(error);
      }
    }
    if (!ways.length) throw faults[0];
    if (ways.length > 1 && !same(...ways)) throw new Unread("this product can be read in two ways: put brackets", terms[0].at);
    return {...ways[0], at: terms[0].at};
  }

  multiplied(one, other, sign) {
    const [a, b] = [one, other].map(({shape}) => shape.length), at = one.at;
    if (!a || !b) {
      const whole = a ? one : other;
      return {...whole, e: ["*", one.e, other.e], at};
    }
    if (one.diagonal || other.diagonal) {
      const [matrix, vector] = one.diagonal ? [one, other] : [other, one];
      if (vector.shape.length !== 1 || vector.shape[0] !== matrix.shape[0]) throw new Unread("diag is read beside a vector of its size", at);
      return {...vector, e: ["*", matrix.e, vector.e], at};
    }
    if (a === 1 && b === 1) return this.ofVectors(one, other, sign);
    const isMatrixProduct = sign !== "⊙" && sign !== "⊗";
    if (a === 2 && b === 1 && isMatrixProduct && one.shape[1] === other.shape[0] && !other.row) {
      return {e: ["@", one.e, other.e], shape: [one.shape[0]], at};
    }
    if (a === 1 && b === 2 && isMatrixProduct && one.shape[0] === other.shape[0]) {
      return {e: ["@", this.turned(other).e, one.e], shape: [other.shape[1]], row: one.row, at};
    }
    if (a === 2 && b === 2 && String(one.shape) === String(other.shape) && sign === "⊙") return {e: ["*", one.e, other.e], shape: one.shape, at};
    if (a === 2 && b === 2 && isMatrixProduct && one.shape[1] === other.shape[0]) {
      return {e: ["@", one.e, other.e], shape: [one.shape[0], other.shape[1]], at};
    }
    throw new Unread(`these do not go together: ${this.shapeTold(one)} and ${this.shapeTold(other)}`, other.at);
  }

  ofVectors(one, other, sign) {
    const outer = () => ({e: ["f", "outer", one.e, other.e], shape: [...one.shape, ...other.shape], at: one.at});
    if (sign === "⊗" || (other.row && !one.row && sign !== "⊙")) return outer();
    this.alike(one, other, "a product");
    if (one.row && !other.row && sign !== "⊙") return {e: ["f", "dot", one.e, other.e], shape: [], at: one.at};
    return {e: ["*", one.e, other.e], shape: one.shape, row: one.row && other.row, at: one.at};
  }

  turned(term) {
    if (term.shape.length !== 2 || term.diagonal) return term.shape.length === 1 ? {...term, row: !term.row} : term;
    const {e} = term, [kind, name, ...given] = e;
    const turned = kind === "f" && name === "transpose" ? given[0] : kind === "f" && name === "outer" ? ["f", "outer", given[1], given[0]]
      : ["f", "transpose", e];
    return {...term, e: turned, shape: [...term.shape].reverse()};
  }

  power(term, exponent) {
    if (term.shape.length > 1) throw new Unread("a power of a matrix", term.at);
    return {...term, e: ["^", term.e, exponent]};
  }

  divided(above, below) {
    if (above.shape.length && below.shape.length) this.alike(above, below, "a fraction");
    if (below.shape.length > 1) throw new Unread("a division by a matrix", below.at);
    return {...(above.shape.length ? above : below), e: ["/", above.e, below.e], at: above.at};
  }

  alike(one, other, what) {
    if (String(one.shape) === String(other.shape)) return;
    throw new Unread(`in ${what}, ${this.shapeTold(one)} and ${this.shapeTold(other)} do not go together`, other.at);
  }

  shapeTold({shape}) {
    const told = size => CELL.dims.find(symbol => this.sizes[symbol] === size) ?? String(size);
    return shape.length === 1 ? `a vector of ${told(shape[0])}` : `an array of ${shape.map(told).join(" × ")}`;
  }
}

// Whether two ways to read a product give one value: they are computed at a random point.
function same(one, other) {
  if (String(one.shape) !== String(other.shape)) return false;
  if (JSON.stringify(one.e) === JSON.stringify(other.e)) return true;
  pointsOfJudge ??= judgedPoints();
  return pointsOfJudge.every(run => distance(evaluate(one.e, run.at(2)), evaluate(other.e, run.at(2))) < SAME);
}

// \partial E / \partial c_t as a fraction.
function withFractions(nodes) {
  const begins = node => node && (bodyOf(node).mark === "∂" || node.letter === "d");
  const at = nodes.findIndex((node, k) => node.mark === "/" && begins(nodes[k + 1]) && begins(nodes[k - 2]));
  if (at < 0) return nodes;
  const fraction = {top: nodes.slice(at - 2, at), bottom: nodes.slice(at + 1, at + 3), at: nodes[at - 2].at};
  return withFractions([...nodes.slice(0, at - 2), fraction, ...nodes.slice(at + 3)]);
}
