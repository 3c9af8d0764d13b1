// The cell in numbers: forward over T steps, backward contribution by contribution. Steps count from 1; step 0 is the start.

// A value may be called `constructor`: what is looked up by name has no prototype.
const bare = object => Object.assign(Object.create(null), object);
const byName = pairs => bare(Object.fromEntries(pairs));
const readJson = text => JSON.parse(text, (_, part) => typeof part === "object" && !isArray(part) && part ? bare(part) : part);

const CELL = readJson(document.getElementById("derivation").textContent);
const STAGE = byName(CELL.stages.map(stage => [stage.name, stage]));
const GRADIENT = byName(CELL.gradients.map(gradient => [gradient.value, gradient]));
const FORK = bare();
for (const gradient of CELL.gradients) {
  gradient.forks.forEach((fork, index) => {
    const {reader, lag = 0, position = 0} = fork, target = gradient.value;
    Object.assign(fork, {target, lag, key: `${target}<${reader}@${lag}.${position}`, number: index + 1});
    FORK[fork.key] = fork;
  });
}
const STATIC = new Set(CELL.static), LAST_ONLY = new Set(CELL.lastOnly);
const expression = number => CELL.expressions[number];
const exists = (stage, step, steps) => step >= 1 && step <= steps && (step === steps || !LAST_ONLY.has(stage));

// Evaluate an expression. `look` answers for values, adjoints and gradients from outside at a lag, and for sizes.
function evaluate(e, look) {
  if (typeof e === "number") return e;
  const value = part => evaluate(part, look), [kind, first, second] = e;
  switch (kind) {
    case "v": return look.value(first, second);
    case "d": return look.adjoint(first, second);
    case "o": return look.outside(first, second);
    case "s": return look.size(first);
    case "+": return e.slice(1).map(value).reduce(add);
    case "*": return e.slice(1).map(value).reduce(multiply);
    case "-": return scaled(-1, value(first));
    case "/": return zip((x, y) => x / y, value(first), value(second));
    case "^": return zip((x, y) => x ** y, value(first), value(second));
    case "@": return applied(value(first), value(second));
    case "f": return call(first, e.slice(2), look);
  }
  throw new Misfit("a comparison stands only in where(a < b, u, v)");
}

function call(name, given, look) {
  if (name === "where") {
    const [[, relation, left, right], chosen, other] = given;
    return chosenBy(relation, ...[left, right, chosen, other].map(part => evaluate(part, look)));
  }
  if (name === "stop_gradient" && look.still) return evaluate(given[0], look.still);
  if (name === "surrogate" && look.still) return beside(given, look);
  const values = given.map(part => evaluate(part, look));
  if (name in POINTWISE) return map(POINTWISE[name], values[0]);
  if (name in OF_ARRAYS) {
    if (TAKES_ARRAYS.has(name) && !isArray(values[0])) throw new Misfit(`${name} takes a vector, and found a scalar`);
    return OF_ARRAYS[name](...values);
  }
  const [names, body] = CELL.language.macros[name];
  return evaluate(body, {...look, value: argument => values[names.indexOf(argument)]});
}

// The sizes of a value's axes.
const sizesOf = (name, sizes) => CELL.shapes[name].map(dim => evaluate(dim, {size: symbol => sizes[symbol]}));

// surrogate(a, b, c) while something is moved: b as it is, and c times how far a has moved, since c is taken for its slope.
function beside(given, look) {
  const moved = subtract(evaluate(given[0], look), evaluate(given[0], look.still));
  const [value, slope] = given.slice(1).map(each => evaluate(each, look.still));
  return zip((b, step) => b + step, value, zip((c, by) => c * by, slope, moved));
}

// A cell at one point. `start` has parameters, state, inputs (and targets) by step, outside by step, and final: what
// reaches the last state from outside; with `learned`, states start from their parameters. `bump` moves one entry of one
// value at one step, and what stop_gradient reads stays as it is in the run `still`. `held` keeps values at numbers.
class Run {
  constructor({sizes, start, steps, bump = null, still = null, held = bare()}) {
    Object.assign(this, {sizes, start, steps, bump, still, held, cut: new Set(), adjoints: null});
    this.fixed = bare();
    this.values = Array.from({length: steps + 1}, bare);
    for (const name of CELL.parameters) this.set(0, name, start.parameters[name]);
    for (const name of CELL.states) {
      this.set(0, name, start.learned && name in CELL.learned ? this.fixed[CELL.learned[name]] : start.state[name]);
    }
    for (const stage of CELL.stages) if (STATIC.has(stage.name)) this.compute(stage, 0);
    for (let step = 1; step <= steps; step++) {
      for (const name of [...CELL.inputs, ...CELL.targets]) this.set(step, name, start.inputs[name][step - 1]);
      for (const stage of CELL.stages) {
        if (!STATIC.has(stage.name) && exists(stage.name, step, steps)) this.compute(stage, step);
      }
    }
  }

  compute(stage, step) {
    const e = expression(stage.is), look = this.at(step);
    this.set(step, stage.name, stage.name in this.held ? filled(this.held[stage.name], this.shape(stage.name))
      : this.whole(stage.name, look.still && e[1] === "clip_gradient" ? this.passed(e, stage.name, step) : evaluate(e, look)));
  }

  // clip_gradient while something is moved: as much of the move as of the gradient goes on.
  passed([, , argument, bound], name, step) {
    const gradient = this.still.adjoint(name, step) ?? filled(0, this.shape(name));
    const part = map(d => Math.abs(d) > bound ? bound / Math.abs(d) : 1, this.still.whole(name, gradient));
    const before = evaluate(argument, this.still.at(step));
    return add(before, multiply(part, subtract(evaluate(argument, this.at(step)), before)));
  }

  set(step, name, array) {
    const {bump} = this;
    if (bump && bump.name === name && bump.step === step) array = withEntry(array, bump.place, entryAt(array, bump.place) + bump.by);
    (STATIC.has(name) ? this.fixed : this.values[step])[name] = array;
  }

  shape(name) { return sizesOf(name, this.sizes); }
  whole(name, array) { return add(array, filled(0, this.shape(name))); }
  value(name, step) { return STATIC.has(name) ? this.fixed[name] : this.values[step]?.[name]; }

  // What names stand for in an expression that is read at a step.
  at(step, upstream = null) {
    return {
      value: (name, lag) => this.value(name, step + lag) ?? filled(0, this.shape(name)),
      adjoint: (name, lag) => upstream ?? this.adjoint(name, step + lag) ?? filled(0, this.shape(name)),
      outside: (name, lag) => this.start.outside[name]?.[step + lag - 1] ?? filled(0, this.shape(name)),
      size: symbol => this.sizes[symbol],
      still: this.still?.at(step),
    };
  }

  get loss() {
    let sum = 0;
    for (let step = 1; step <= this.steps; step++) {
      if (CELL.loss) sum += this.value(CELL.loss, step) ?? 0;
      else for (const name of CELL.outputs) sum += inner(this.start.outside[name][step - 1], this.value(name, step));
    }
    for (const name of CELL.states) sum += inner(this.start.final[name], this.value(name, this.steps));
    return sum;
  }

  // ---------------------------------------------------------------- backward

  // Every adjoint, without the contributions in `cut`. With `from`, {name, array}, the gradient of one final state alone.
  backward(cut = new Set(), from = null) {
    Object.assign(this, {cut, from, adjoints: Array.from({length: this.steps + 1}, bare), totals: bare()});
    const moving = CELL.gradients.filter(gradient => !STATIC.has(gradient.value));
    for (let step = this.steps; step >= 0; step--) {
      for (const gradient of moving) {
        const name = gradient.value, isStage = name in STAGE;
        if (step === 0 ? CELL.states.includes(name) : !isStage || exists(name, step, this.steps)) {
          this.adjoints[step][name] = this.moving(gradient, step);
        }
      }
    }
    for (const gradient of CELL.gradients) {
      if (STATIC.has(gradient.value)) {
        const terms = gradient.forks.flatMap(fork => this.steppedTerms(fork).map(([, term]) => term));
        this.totals[gradient.value] = terms.reduce(add, filled(0, this.shape(gradient.value)));
      }
    }
    return this;
  }

  moving(gradient, step) {
    if (gradient.value === CELL.loss) return this.from ? 0 : 1;
    let sum = this.fromFinal(gradient.value, step) ?? filled(0, this.shape(gradient.value));
    for (const fork of gradient.forks) {
      const term = this.cut.has(fork.key) ? null : this.term(fork, step);
      if (term !== null) sum = add(sum, term);
    }
    return sum;
  }

  // What reaches a state at the last step from outside.
  fromFinal(name, step) {
    if (step !== this.steps || !CELL.states.includes(name)) return null;
    if (this.from) return this.from.name === name ? this.from.array : null;
    return this.start.final[name];
  }

  // One contribution to a moving value at its step, or null where there is none.
  term(fork, step) {
    if (!exists(fork.reader, step + fork.lag, this.steps) && fork.kind !== "output") return null;
    if (fork.kind === "output" && (step < 1 || this.from)) return null;
    if (this.from && expression(fork.up)[0] !== "d") return null;
    return this.whole(fork.target, evaluate(expression(fork.at), this.at(step + fork.lag)));
  }

  // The contributions to something static: [step, array] for each step that sends one.
  steppedTerms(fork, cut = this.cut) {
    if (cut.has(fork.key)) return [];
    if (fork.kind === "start") return [[0, this.adjoints[0][fork.reader]]];
    if (!fork.over) return [[0, this.whole(fork.target, evaluate(expression(fork.at), this.at(0)))]];
    const found = [];
    for (let step = 1; step <= this.steps; step++) {
      if (exists(fork.reader, step, this.steps)) found.push([step, this.whole(fork.target, evaluate(expression(fork.at), this.at(step)))]);
    }
    return found;
  }

  adjoint(name, step) { return STATIC.has(name) ? this.totals[name] : this.adjoints[step]?.[name]; }

  // ---------------------------------------------------------------- measured

  // The gradient at a value by moving each of its entries a little to both sides. At a kink the two sides differ.
  measured(name, step, by = 1e-5) {
    const shape = this.shape(name), here = this.loss;
    let array = filled(0, shape), hasKink = false;
    for (const place of places(shape)) {
      const [above, below] = [by, -by].map(move => new Run({...this, still: this,
        bump: {name, step: STATIC.has(name) ? 0 : step, place, by: move}}).loss);
      array = withEntry(array, place, (above - below) / (2 * by));
      const [right, left] = [(above - here) / by, (here - below) / by];
      hasKink ||= Math.abs(right - left) > 0.01 * Math.max(Math.abs(right), Math.abs(left), 0.01);
    }
    return {array, hasKink};
  }

  // All that a training step or a layer below would use, by name: parameters, inputs and initial states.
  get gradients() {
    const found = byName(CELL.parameters.map(name => [name, this.totals[name]]));
    for (const name of CELL.inputs) found[name] = Array.from({length: this.steps}, (_, k) => this.adjoints[k + 1][name]);
    for (const name of CELL.states) if (name in this.adjoints[0]) found[name] = this.adjoints[0][name];
    return found;
  }
}

// Numbers drawn as the proofs draw them: from the value's range, else from -1 to 1; what comes from outside is not near 0.
function drawn(sizes, steps, random) {
  const draw = name => {
    const [low, high] = CELL.ranges[name] ?? [-1, 1];
    return map(() => low + (high - low) * random(), filled(0, sizesOf(name, sizes)));
  };
  const weight = name => map(() => (0.5 + random()) * (random() < 0.5 ? -1 : 1), filled(0, sizesOf(name, sizes)));
  const every = (names, one) => byName(names.map(name => [name, one(name)]));
  const byStep = one => name => Array.from({length: steps}, () => one(name));
  return {
    parameters: every(CELL.parameters, draw), state: every(CELL.states, draw),
    inputs: every([...CELL.inputs, ...CELL.targets], byStep(draw)),
    outside: CELL.loss ? {} : every(CELL.outputs, byStep(weight)), final: every(CELL.states, weight),
  };
}
