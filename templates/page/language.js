// A line that the reader types, in the language of specs and claims: `d_h * o * (1 - tanh(c)**2) + d_c[t+1] * f[t+1]`.

// A line that cannot be read: why, what to write, and at which character.
class Unread extends Error {
  constructor(message, at = null) { super(message); this.at = at; }
}

const TOKEN = /\s*(?:(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)|([A-Za-zδΔ][A-Za-z0-9_δΔ]*)|(\*\*|<=|>=|\[\s*t\s*(?:[+−-]\s*\d+)?\s*\]|\.T\b|[-+*/@^(),<>⊙·−²ᵀ]))/y;

function tokens(text) {
  const found = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.trimEnd().length) {
    const at = TOKEN.lastIndex, match = TOKEN.exec(text);
    if (!match) throw new Unread(`“${text.slice(at).trim()[0]}” cannot stand here`, at + /^\s*/.exec(text.slice(at))[0].length);
    const [, number, name, sign] = match;
    found.push(number ? {number: Number(number)} : name ? {name} : {sign: sign.replace(/\s/g, "").replace("−", "-")});
  }
  return found;
}

class Reader {
  constructor(text) { this.tokens = tokens(text); this.at = 0; }

  get next() { return this.tokens[this.at] ?? {}; }
  take(...signs) {
    if (this.next.sign === undefined || !signs.includes(this.next.sign)) return null;
    return this.tokens[this.at++].sign;
  }
  expect(sign) {
    if (!this.take(sign)) throw new Unread(`a “${sign}” is missing ${this.next.name ? `before “${this.next.name}”` : "at the end"}`);
  }

  read() {
    if (!this.tokens.length) throw new Unread("write a formula");
    const found = this.sum(), rest = this.next;
    if (this.at < this.tokens.length) throw new Unread(`an operator is missing before “${rest.name ?? rest.number ?? rest.sign}”`);
    return found;
  }

  sum() {
    const terms = [this.product()];
    for (let sign; (sign = this.take("+", "-"));) terms.push(sign === "+" ? this.product() : ["-", this.product()]);
    return terms.length > 1 ? ["+", ...terms] : terms[0];
  }

  product() {
    let left = this.unary();
    for (let sign; (sign = this.take("*", "/", "@", "⊙", "·"));) {
      const right = this.unary();
      left = sign === "/" ? ["/", left, right] : sign === "@" ? ["@", left, right]
        : left[0] === "*" ? [...left, right] : ["*", left, right];
    }
    return left;
  }

  unary() {
    if (this.take("-")) return ["-", this.unary()];
    if (this.take("+")) return this.unary();
    return this.power();
  }

  power() {
    let base = this.atom();
    for (let sign; (sign = this.take("²", "ᵀ", ".T"));) base = sign === "²" ? ["^", base, 2] : ["f", "transpose", base];
    return this.take("**", "^") ? ["^", base, this.unary()] : base;
  }

  atom() {
    const token = this.tokens[this.at++] ?? {};
    if (token.number !== undefined) return token.number;
    if (token.sign === "(") {
      const found = this.sum();
      this.expect(")");
      return found;
    }
    if (!token.name) throw new Unread(token.sign ? `something is missing before “${token.sign}”` : "the line ends too early");
    return this.take("(") ? this.call(token.name) : this.named(token.name, this.index());
  }

  index() {
    const sign = this.next.sign;
    if (!sign?.startsWith("[")) return 0;
    this.at++;
    return Number(/[+-]\d+/.exec(sign)?.[0] ?? 0);
  }

  call(name) {
    const given = [this.argument()];
    while (this.take(",")) given.push(this.argument());
    this.expect(")");
    if (!CELL.language.public.includes(name) && name !== "sigma") throw new Unread(`there is no function “${name}”${near(name, CELL.language.public)}`);
    if (name === "where" && given[0][0] !== "?") throw new Unread("where(a < b, u, v) begins with a comparison");
    return ["f", name === "sigma" ? "sigmoid" : name, ...given];
  }

  argument() {
    const left = this.sum(), relation = this.take("<", "<=", ">", ">=");
    return relation ? ["?", relation, left, this.sum()] : left;
  }

  named(name, lag) {
    const values = Object.keys(CELL.shapes);
    if (name in CELL.language.constants) return CELL.language.constants[name];
    if (CELL.dims.includes(name)) return ["s", name];
    if (values.includes(name)) return ["v", name, lag];
    const adjoint = /^(?:d_|δ)(.+)$/.exec(name)?.[1], outside = /^(?:dy_|Δ)(.+)$/.exec(name)?.[1];
    if (adjoint && values.includes(adjoint)) return ["d", adjoint, lag];
    if (outside && CELL.outputs.includes(outside)) return ["o", outside, lag];
    if (name === "dy" && CELL.outputs.length === 1) return ["o", CELL.outputs[0], lag];
    throw new Unread(`there is no “${name}”${near(name, [...values, ...values.map(each => `d_${each}`)])}`);
  }
}

// The nearest name, if there is one.
function near(name, names) {
  const found = names.map(each => [steps(name.toLowerCase(), each.toLowerCase()), each]).sort((a, b) => a[0] - b[0])[0];
  return found && name.length > 1 && found[0] <= Math.max(1, name.length / 2) ? `: did you mean “${found[1]}”?` : "";
}

function steps(a, b) {
  let row = Array.from({length: b.length + 1}, (_, k) => k);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) next.push(Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] !== b[j - 1])));
    row = next;
  }
  return row[b.length];
}
