// Expressions as formulas. First a tree of pieces, in the symbols of the chosen notation; then MathML, SVG text, or words.

const COMPARISON = 0, SUM = 1, NEGATIVE = 2, TIMES = 3, BESIDE = 4, BARE = 5, APPLIED = 6, ATOM = 7;
const NOTATIONS = byName(CELL.notations.map(notation =>  // the first has every symbol, the others what differs
  [notation.id, {...notation, symbols: bare({...CELL.notations[0].symbols, ...notation.symbols})}]));
const ACCENTS = {bar: "\u0304", hat: "\u0302", tilde: "\u0303"};
const BARE_FUNCTIONS = new Set(["tanh", "sin", "cos", "exp", "log"]);
const SHOWN_FUNCTIONS = {__proto__: null, sigmoid: "σ", layer_norm: "LN", logsumexp: "lse", Inverse_std: "rstd", leaky_relu: "lrelu",
  logsigmoid: "log σ", stop_gradient: "stop", Reverse_cumsum: "cumsumᵀ", Fold: "fold", Place: "place", Slice: "slice",
  hard_sigmoid: "hsig", hard_tanh: "htanh", rms_norm: "RMSNorm", l2_norm: "L2Norm", Inverse_rms: "rrms",
  Inverse_norm: "rnorm", Bell: "erf′", Clip: "clip", clip_gradient: "pass"};
const USUAL_LITERALS = {__proto__: null, layer_norm: 1e-5, Inverse_std: 1e-5, rms_norm: 1e-6, l2_norm: 1e-6, Inverse_rms: 1e-6,
  Inverse_norm: 1e-6};
const SHOWN_RELATIONS = {"<": "<", "<=": "≤", ">": ">", ">=": "≥"};
const OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"};

// How many axes an expression's value has.
function rank(e) {
  if (typeof e === "number" || e[0] === "s") return 0;
  const [kind, first, ...rest] = e, second = rest[0];
  if ("vdo".includes(kind)) return first === "" ? 1 : CELL.shapes[first].length;
  if (kind === "@") return rank(second);
  if (kind !== "f") return Math.max(...e.slice(1).filter(part => typeof part !== "string").map(rank));
  if (["outer", "fill", "heads"].includes(first)) return rank(second) + 1;
  if (first === "flat") return rank(second) - 1;
  if (first === "eye" || first === "triangle") return 2;
  if (first === "ones") return rest.length;
  if (first === "Array") return second === 0 ? 1 : 2;
  const reduces = ["sum", "mean", "logsumexp", "dot", "Inverse_std", "Inverse_rms", "Inverse_norm"].includes(first);
  return first === "where" ? Math.max(rank(rest[1]), rank(rest[2])) : Math.max(...rest.map(rank)) - reduces;
}

// Pieces: {row}, {symbol, name, lag, sign}, {op}, {word}, {number}, {over, under}, {base, raised}, {open, body, close}
class Printer {
  constructor(notation, now = "t") { Object.assign(this, {notation: NOTATIONS[notation], now}); }

  tree(e) { return this.spell(e)[0]; }
  asMath(e) { return mml("math", {}, mathOf(this.tree(e))); }
  inside(e, needed) {
    const [piece, tightness] = this.spell(e);
    return tightness < needed ? {open: "(", body: piece, close: ")"} : piece;
  }

  step(lag) {
    if (typeof this.now === "number") return String(this.now + lag);
    return lag ? `${this.now}${lag > 0 ? "+" : "−"}${Math.abs(lag)}` : this.now;
  }

  spell(e) {
    if (typeof e === "number") return [{number: minus(String(e))}, e < 0 ? NEGATIVE : ATOM];
    const [kind, first, second] = e;
    switch (kind) {
      case "s": return [{word: first, italic: true}, ATOM];
      case "v": case "d": case "o": return this.leaf(kind, first, second);
      case "+": return [this.sum(e.slice(1)), SUM];
      case "-": return [{row: [{op: "−"}, this.inside(first, TIMES)]}, NEGATIVE];
      case "*": return this.product(e.slice(1));
      case "/": return [{over: this.tree(first), under: this.tree(second)}, ATOM];
      case "^": return [this.power(first, second), ATOM];
      case "@": return [{row: [this.inside(first, APPLIED), {space: true}, this.inside(second, BARE)]}, BESIDE];
      case "?": return [{row: [this.inside(second, SUM), {op: SHOWN_RELATIONS[first]}, this.inside(e[3], SUM)]}, COMPARISON];
    }
    return this.call(first, e.slice(2));
  }

  leaf(kind, name, lag) {
    if (name === "") return [{word: "·"}, ATOM];
    const sign = {v: "", d: "δ", o: "Δ"}[kind], lagged = STATIC.has(name) ? 0 : lag;
    const written = this.notation.writtenOut[name];
    if (written !== undefined) {
      const [piece, tightness] = this.spell(moved(expression(written), lagged));
      return sign ? [{row: [{word: sign}, {open: "[", body: piece, close: "]"}], of: name}, ATOM]
        : [{row: [piece], of: name}, tightness];
    }
    return [{symbol: this.notation.symbols[name] ?? [name], name, step: STATIC.has(name) ? null : this.step(lagged), sign}, ATOM];
  }

  sum(terms) {
    const shown = withoutCopies(terms);
    return {row: shown.flatMap((term, k) => {
      const negative = term[0] === "-" || term < 0;
      const body = term[0] === "-" ? term[1] : term < 0 ? -term : term;
      const sign = negative ? [{op: "−"}] : k ? [{op: "+"}] : [];
      return [...sign, this.inside(body, k || negative ? TIMES : SUM)];
    })};
  }

  product(factors) {
    const flat = withoutCopies(factors.flatMap(factor => factor[0] === "*" ? factor.slice(1) : [factor]));
    const most = Math.max(...flat.map(rank));
    const scalars = flat.filter(factor => !rank(factor)), arrays = flat.filter(factor => rank(factor));
    if (!most || !arrays.length) {
      return [{row: flat.flatMap((factor, k) => [...(k ? [{op: "·"}] : []), this.inside(factor, k ? BARE : TIMES)])},
        flat.length > 1 ? TIMES : ATOM];
    }
    const row = scalars.flatMap(factor => [this.inside(factor, APPLIED), {space: true}]);
    arrays.forEach((factor, k) => row.push(...(k ? [{op: "⊙"}] : []), this.inside(factor, BARE)));
    return [{row}, arrays.length > 1 ? TIMES : scalars.length ? BESIDE : this.spell(arrays[0])[1]];
  }

  power(base, exponent) {
    const e = base[0] === "v" && this.notation.writtenOut[base[1]] !== undefined
      ? moved(expression(this.notation.writtenOut[base[1]]), base[2]) : base;
    if (e[0] === "f" && ["tanh", "sin", "cos"].includes(e[1]) && typeof exponent === "number") {
      const of = base[0] === "v" ? {of: base[1]} : {};
      return {row: [{base: {word: e[1]}, raised: this.tree(exponent)}, {space: true}, this.inside(e[2], ATOM)], ...of};
    }
    const [piece, tightness] = this.spell(base);
    const plain = tightness === ATOM && !["/", "^"].includes(base[0]) && base[0] !== "d";
    return {base: plain ? piece : {open: "(", body: piece, close: ")"}, raised: this.tree(exponent)};
  }

  call(name, given) {
    const list = parts => ({row: parts.flatMap((part, k) => [...(k ? [{op: ","}] : []), this.tree(part)])});
    const [first, second] = given;
    switch (name) {
      case "where": return this.choice(...given);
      case "outer": return [{row: [this.inside(first, BARE), {space: true}, {base: this.inside(second, ATOM), raised: {word: "T"}}]}, BESIDE];
      case "transpose": return [{base: this.inside(first, ATOM), raised: {word: "T"}}, ATOM];
      case "fill": return this.copied(first, second);
      case "heads": return [{row: [{base: {word: "heads"}, lowered: this.tree(second)}, this.fenced(this.tree(first))]}, APPLIED];
      case "concat": return [{open: "[", body: {row: given.flatMap((part, k) => [...(k ? [{op: ";"}] : []), this.tree(part)])}, close: "]"}, APPLIED];
      case "ones": return [{word: given.length === 1 ? "𝟏" : "𝟏𝟏ᵀ"}, given.length === 1 ? ATOM : BESIDE];
      case "eye": return [{word: "I"}, ATOM];
      case "triangle": return [{word: "L"}, ATOM];
      case "Array": return [{open: "[", body: list(given.slice(1)), close: "]"}, APPLIED];
      case "abs": return [{open: "|", body: this.tree(first), close: "|"}, ATOM];
      case "floor": return [{open: "⌊", body: this.tree(first), close: "⌋"}, ATOM];
      case "dot": return [{open: "⟨", body: list(given), close: "⟩"}, ATOM];
      case "sqrt": return [{root: this.tree(first)}, ATOM];
      case "square": return [this.power(first, 2), ATOM];
      case "identity": return this.spell(first);
      case "part": case "Place":
        return [{row: [{base: {word: SHOWN_FUNCTIONS[name] ?? name}, lowered: {word: `${second}/${given[2]}`}}, this.fenced(this.tree(first))]}, APPLIED];
    }
    const shown = second === USUAL_LITERALS[name] ? [first] : given;
    const word = {word: SHOWN_FUNCTIONS[name] ?? name.replaceAll("_", "")};
    if (BARE_FUNCTIONS.has(name)) {
      const [piece, tightness] = this.spell(first);
      if (tightness === ATOM && !["/", "^"].includes(first[0])) return [{row: [word, {space: true}, piece]}, BARE];
    }
    return [{row: [word, this.fenced(list(shown))]}, APPLIED];
  }

  // A value along a new last axis: a𝟏, a𝟏ᵀ; of a matrix, with the length of the axis.
  copied(e, size) {
    if (e === 1) return [{word: "𝟏"}, BESIDE];
    if (rank(e) > 1) return [{row: [{base: {word: "fill"}, lowered: this.tree(size)}, this.fenced(this.tree(e))]}, APPLIED];
    const ones = rank(e) ? {base: {word: "𝟏"}, raised: {word: "T"}} : {word: "𝟏"};
    return [{row: [this.inside(e, BARE), {space: true}, ones]}, BESIDE];
  }

  fenced(body) { return {open: "(", body, close: ")"}; }

  // u where a < b, v elsewhere: as a sum with brackets that are one where they hold.
  choice(condition, chosen, other) {
    const bracket = relation => ({open: "[", body: this.tree(["?", relation, condition[2], condition[3]]), close: "]"});
    const side = (e, relation) => e === 0 ? null : e === 1 ? [bracket(relation)]
      : [this.inside(e, BARE), {space: true}, bracket(relation)];
    const sides = [side(chosen, condition[1]), side(other, OPPOSITE[condition[1]])].filter(Boolean);
    if (!sides.length) return [{number: "0"}, ATOM];
    return [{row: sides.flatMap((row, k) => [...(k ? [{op: "+"}] : []), ...row])}, sides.length > 1 ? SUM : BESIDE];
  }
}

// An expression as it is read some steps later.
function moved(e, steps) {
  if (!steps || typeof e !== "object") return e;
  if ("vdo".includes(e[0]) && e.length === 3) return STATIC.has(e[1]) ? e : [e[0], e[1], e[2] + steps];
  return e.map((part, k) => k ? moved(part, steps) : part);
}

// Copies of a scalar beside an array need not be written.
function withoutCopies(parts) {
  const most = Math.max(...parts.map(rank));
  const bare = parts.map(part => part[0] === "f" && part[1] === "fill" && !rank(part[2]) ? part[2] : part);
  const kept = bare.some(part => rank(part) === most) ? bare : parts;
  return kept.length > 1 && kept.some(part => part !== 1) && parts !== kept ? kept : kept;
}

// ---------------------------------------------------------------- MathML

const letter = symbol => symbol[0] + (symbol[1] ?? []).map(accent => ACCENTS[accent]).join("");
const isWord = text => [...text.normalize("NFC").replace(/[\u0300-\u036f]/g, "")].length > 1;
const script = text => text.startsWith("'") ? [text.slice(1), true] : [text, !/^[a-zα-ω]{1,3}$/i.test(text)];

// The scripts of a symbol with its step: [below, above].
function scripts({symbol, step}) {
  const below = (symbol[2] ?? []).map(script), above = (symbol[3] ?? []).map(script);
  const time = view.printer.notation.time;
  if (step === null) return [below, above];
  if (time === "sub") return [[...below, [step, false]], above];
  return [[...below, ...above], [[time === "angle" ? `⟨${step}⟩` : step, false]]];
}

function identifier(text, upright, attributes) {
  const tag = /^[\d.,()/⟨⟩−+]+$/.test(text) ? "mn" : "mi";
  return mml(tag, {...(tag === "mi" ? {mathvariant: "normal"} : {}), class: upright || tag === "mn" ? "up" : "it", ...attributes}, text);
}

function mathScript(parts) {
  return mml("mrow", {}, parts.flatMap(([text, upright], k) => [
    ...(k ? [mml("mo", {separator: "true", lspace: "0", rspace: "0"}, ",")] : []),
    ...text.split(/([+−])/).filter(Boolean).map(piece =>
      /^[+−]$/.test(piece) ? mml("mo", {lspace: "0", rspace: "0", form: "infix"}, piece) : identifier(piece, upright))]));
}

function mathSymbol(piece) {
  const text = letter(piece.symbol), base = identifier(text, isWord(text));
  const even = mml("mpadded", {depth: ".13em", height: ".6em"}, base);  // scripts of all letters at one height
  const [below, above] = scripts(piece);
  const whole = below.length && above.length ? mml("msubsup", {}, even, mathScript(below), mathScript(above))
    : below.length ? mml("msub", {}, even, mathScript(below)) : above.length ? mml("msup", {}, even, mathScript(above)) : base;
  const signed = piece.sign ? mml("mrow", {}, identifier(piece.sign, true), whole) : whole;
  return mml("mrow", {class: `symbol ${colourOf(piece.name)}`, "data-value": piece.name}, signed);
}

function mathOf(piece) {
  if (piece.symbol) return mathSymbol(piece);
  if (piece.row) return mml("mrow", piece.of ? {class: `symbol ${colourOf(piece.of)}`, "data-value": piece.of} : {}, piece.row.map(mathOf));
  if (piece.op) {
    const form = piece.infix ? {form: "infix", lspace: "0", rspace: ".25em"} : {};
    return mml("mo", {...form, ...(piece.op === "," || piece.op === ";" ? {separator: "true"} : {})}, piece.op);
  }
  if (piece.space) return mml("mspace", {width: ".15em"});
  if (piece.word) return mml("mi", {mathvariant: "normal", class: piece.italic ? "it" : "up"}, piece.word);
  if (piece.number) return mml("mn", {}, piece.number);
  if (piece.over) return mml("mfrac", {}, mathOf(piece.over), mathOf(piece.under));
  if (piece.root) return mml("msqrt", {}, mathOf(piece.root));
  if (piece.raised) return mml("msup", {}, mathOf(piece.base), mathOf(piece.raised));
  if (piece.lowered) return mml("msub", {}, mathOf(piece.base), mathOf(piece.lowered));
  return mml("mrow", {}, mml("mo", {stretchy: "false", form: "prefix"}, piece.open), mathOf(piece.body),
    mml("mo", {stretchy: "false", form: "postfix"}, piece.close));
}

const colourOf = name => { const k = CELL.colours.indexOf(name); return k < 0 ? "" : `k${k}`; };

// Formulas in the chosen notation. `formula` takes expressions, and texts or pieces for signs between them.
const formula = (...parts) => mml("math", {}, mml("mrow", {}, parts.map(part =>
  typeof part === "string" ? mml("mo", {}, part) : mathOf(part.op ? part : view.printer.tree(part)))));
const valueOf = (name, lag = 0) => ["v", name, lag];
const adjointOf = (name, lag = 0) => ["d", name, lag];

// A sentence of the derivation: ⟦12⟧ is the formula of expression 12.
const sentence = text => text.split(/(⟦\d+⟧)/).map(part => {
  const marked = /^⟦(\d+)⟧$/.exec(part);
  return marked ? formula(expression(Number(marked[1]))) : part;
});

// ---------------------------------------------------------------- text of an SVG, and words

// Runs of text: [text, italic, level], level 1 above and -1 below the line.
function runs(piece, level = 0) {
  if (piece.symbol) {
    const text = letter(piece.symbol), [below, above] = scripts(piece);
    const joined = (parts, at) => parts.flatMap(([part, upright], k) => [...(k ? [[",", false, at]] : []), [part, !upright, at]]);
    return [...(piece.sign ? [[piece.sign, false, level]] : []), [text, !isWord(text), level], ...joined(above, 1), ...joined(below, -1)];
  }
  if (piece.row) return piece.row.flatMap(part => runs(part, level));
  if (piece.op) return [[piece.op === "," || piece.op === ";" ? `${piece.op} ` : level ? piece.op : ` ${piece.op} `, false, level]];
  if (piece.space) return [["\u2009", false, level]];
  if (piece.word) return [[piece.word, Boolean(piece.italic), level]];
  if (piece.number) return [[piece.number, false, level]];
  if (piece.over) return [...runs(piece.over, level), ["/", false, level], ...runs(piece.under, level)];
  if (piece.root) return [["√", false, level], ...runs(piece.root, level)];
  if (piece.raised) return [...runs(piece.base, level), ...runs(piece.raised, 1)];
  if (piece.lowered) return [...runs(piece.base, level), ...runs(piece.lowered, -1)];
  return [[piece.open, false, level], ...runs(piece.body, level), [piece.close, false, level]];
}

function svgText(parts, attributes, size = 15) {
  const all = parts.flatMap(part => typeof part === "string" ? [[part, false, 0]] : runs(view.printer.tree(part)));
  let height = 0;
  const spans = all.map(([text, italic, level]) => {
    const dy = -level * 0.34 * size - height;
    height += dy;
    return svg("tspan", {...(italic ? {class: "it"} : {}), ...(level ? {"font-size": size * 0.72} : {}), ...(dy ? {dy: dy.toFixed(2)} : {})}, text);
  });
  return svg("text", {"font-size": size, ...attributes}, spans);
}

const inWords = e => runs(view.printer.tree(e)).map(([text, , level]) => level < 0 ? ` ${text}` : text).join("").replace(/\s+/g, " ").trim();
