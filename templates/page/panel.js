// The chosen value: who reads it, what each reader sends back and why, the sum, and the sum measured.

function drawPanel() {
  const panel = byId("panel"), gradient = GRADIENT[view.chosen];
  panel.className = `panel ${colourOf(view.chosen)}`;
  if (!gradient) return refill(panel, el("p", {}, "Choose a value: its readers light up."));
  const {value: name} = gradient, isStatic = STATIC.has(name);
  const step = isStatic ? "" : ` at step ${view.step} of ${view.steps}`;
  refill(panel,
    el("h2", {tabindex: -1, id: "panel-title"}, "The gradient at ", formula(valueOf(name)), el("span", {class: "aside"}, step)),
    view.practising ? el("p", {class: "aside"}, "The derivation is hidden while you practise.") : [
      el("p", {}, sentence(inFull(gradient.rule))),
      el("ol", {class: "forks"}, gradient.forks.map(forkItem)),
      panelSum(name, isStatic),
      gradient.ends.length ? el("details", {}, el("summary", {}, "First and last step"), gradient.ends.map(parts => el("p", {}, sentence(inFull(parts))))) : null,
      view.cut.size ? damage() : null,
    ]);
  return undefined;
}

// Sentences by their numbers, with their formulas put in.
const inFull = parts => parts.map(([number, ...formulas]) => CELL.sentences[number].replace(/⟦⟧/g, () => `⟦${formulas.shift()}⟧`)).join(" ");

function forkItem(fork) {
  const stage = STAGE[fork.reader], special = fork.kind === "output" || fork.kind === "start";
  const isCut = view.cut.has(fork.key), why = inFull(fork.why);
  const through = fork.kind === "output" ? "from outside" : fork.kind === "start" ? "from the first step"
    : ["through ", stage.name in view.printer.notation.writtenOut ? formula(moved(expression(stage.is), fork.lag))
      : formula(moved(valueOf(fork.reader), STATIC.has(fork.reader) ? 0 : fork.lag), "=", moved(expression(stage.is), fork.lag))];
  return el("li", {class: `fork ${isCut ? "is-cut" : ""}`, "data-keys": fork.key},
    el("p", {class: "through"}, el("span", {class: `badge ${colourOf(fork.target)}`}, String(fork.number)), el("span", {}, through)),
    special ? null : productTable(fork),
    el("p", {class: "why"}, sentence(why), why.endsWith(".") ? null : "."),
    fork.held ? el("p", {class: "held"}, el("b", {}, "Held still: "), sentence(inFull(fork.held))) : null,
    button(isCut ? "Put this term back" : "Leave this term out", () => cut(fork.key), {class: "cut", "aria-pressed": String(isCut)}));
}

// upstream, local, term: as formulas and as numbers of the shown step.
function productTable(fork) {
  const run = view.run, isStatic = STATIC.has(fork.target), at = isStatic ? view.step : view.step + fork.lag;
  const here = STATIC.has(fork.reader) ? 0 : at;
  const isThere = STATIC.has(fork.reader) || exists(fork.reader, at, view.steps);
  const value = number => isThere ? evaluate(expression(number), run.at(here)) : null;
  const lag = STATIC.has(fork.reader) ? 0 : fork.lag;
  const local = fork.local ?? fork.matrix;
  const term = isThere ? run.whole(fork.target, value(fork.at)) : null;
  const row = (label, e, array) => el("tr", {}, el("th", {scope: "row"}, label), el("td", {}, formula(e)),
    el("td", {class: "number", title: array === null ? "" : toldAll(array, 6)}, array === null ? "no such step" : rowNumbers(array)));
  return el("table", {class: "product"}, el("tbody", {},
    row("upstream", moved(expression(fork.up), lag), value(fork.up)),
    local === undefined ? null : row(fork.matrix === undefined ? "⊙ local" : "matrix", moved(expression(local), lag), value(local)),
    row(fork.over ? `= term, t = ${view.step}` : "= term", moved(expression(fork.at), lag), term)));
}

function panelSum(name, isStatic) {
  if (!isStatic && view.run.adjoint(name, view.step) === undefined) return el("p", {class: "aside"}, "This value exists at the last step alone.");
  const sum = view.run.adjoint(name, view.step), {array: measured, hasKink} = view.whole.measured(name, view.step);
  const size = Math.max(1e-4, ...entries(measured).map(Math.abs));
  const equal = Math.max(...entries(subtract(sum, measured)).map(Math.abs)) / size < 1e-5;
  const [verdict, told] = equal ? ["good", "✓ equal"] : hasKink && !view.cut.size ? ["part", "at a kink"] : ["bad", "✗ not equal"];
  return el("dl", {class: "sum"},
    el("dt", {}, "The sum ", formula(adjointOf(name))), el("dd", {class: verdict === "bad" ? "bad" : "", title: toldAll(sum, 8)}, rowNumbers(sum)),
    el("dt", {}, "Measured"), el("dd", {title: toldAll(measured, 8)}, rowNumbers(measured), " ",
      el("span", {class: verdict, id: "agreement"}, told)),
    el("dd", {class: "aside wide"}, "Measured: each entry moved by 0.00001 to both sides, and all steps computed again.",
      verdict === "part" ? " Here the two sides differ: a function has a kink at this point, and the derivative is a convention." : ""));
}

// ---------------------------------------------------------------- leaving terms out

function cut(key) {
  if (view.cut.has(key)) view.cut.delete(key); else view.cut.add(key);
  changed("numbers");
}

function damage() {
  const right = view.whole.gradients, wrong = view.run.gradients;
  const found = Object.keys(right).map(name => [name, relativeError(wrong[name], right[name])]).sort((a, b) => b[1] - a[1]);
  const broken = found.filter(([, error]) => error > 1e-9);
  return el("div", {class: "damage", role: "status"},
    el("h3", {}, "What breaks"),
    el("p", {}, broken.length ? `The forward pass is the same, and the program runs. But ${broken.length} of ${found.length} gradients that ` +
      "training would use are wrong:" : "With these numbers no gradient changes."),
    el("ul", {class: "bars"}, broken.map(([name, error]) => el("li", {"data-value": name},
      formula(adjointOf(name, CELL.states.includes(name) ? -1 : 0)),
      el("meter", {min: 0, max: 1, value: Math.min(1, error), "aria-label": `error of the gradient at ${name}`}),
      el("span", {class: "number"}, `${minus((100 * error).toFixed(1))} %`)))),
    button("Put all back", () => { view.cut.clear(); changed("numbers"); }));
}

function relativeError(wrong, right) {
  const size = norm(right);
  return size ? norm(subtract(wrong, right)) / size : norm(wrong) ? 1 : 0;
}

follow("notation", drawPanel);
follow("numbers", () => { drawPanel(); light(view.chosen); });
follow("choice", () => { drawPanel(); light(view.chosen); });
