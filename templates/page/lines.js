// Equation, code and number side by side: a row for each value forward, and a row for each reader backward.

const CODE_OF = {forward: bare(), backward: bare()};  // what a line is about -> the numbers of its lines
for (const pass of ["forward", "backward"]) {
  CELL.code[pass].forEach(([, about = []], index) => about.forEach(each => (CODE_OF[pass][each] ??= []).push(index)));
}

// The code of something without its comment; a line that was shown before is not shown again.
function codeOf(pass, about, shownBefore) {
  const lines = (CODE_OF[pass][about] ?? []).filter(index => !CELL.code[pass][index][0].trim().startsWith("#"));
  const fresh = lines.filter(index => !shownBefore.has(index));
  fresh.forEach(index => shownBefore.add(index));
  if (!lines.length) return el("span", {class: "aside"}, "no line of its own");
  if (!fresh.length) return el("span", {class: "aside"}, "in a line above");
  return el("code", {}, fresh.map(index => CELL.code[pass][index][0].split(/\s+# /)[0].trim().replace(/^[+] /, "")).join("\n"));
}

function lineRow(attributes, number, equation, code, kind, of, key) {
  return el("div", {role: "row", tabindex: -1, ...attributes, onkeydown: keyInLines},
    el("span", {class: "n", role: "cell"}, number), el("span", {class: "equation", role: "cell"}, equation),
    el("span", {class: "code", role: "cell"}, code),
    el("span", {class: "number", role: "cell", "data-number": kind, "data-of": of, "data-key": key}));
}

const PLUS = {op: "+", infix: true};            // a plus that has its spaces at the beginning of a line, too

function drawLines() {
  const shown = {forward: new Set(), backward: new Set()};
  refill(byId("forward"), CELL.stages.map(stage => lineRow(
    {class: `line ${colourOf(stage.name)}`, "data-value": stage.name, "data-stage": stage.name, onclick: () => choose(stage.name)},
    String(stage.n), stageFormula(stage), codeOf("forward", stage.name, shown.forward),
    "forward", stage.name)));
  const isInner = gradient => gradient.value in STAGE;
  refill(byId("backward"), CELL.gradients.filter(isInner).map(gradient => gradientRows(gradient, shown.backward)));
  refill(byId("rest"), CELL.gradients.filter(gradient => !isInner(gradient)).map(gradient => gradientRows(gradient, shown.backward)));
  for (const id of ["forward", "backward", "rest"]) byId(id).querySelector("[role=row]")?.setAttribute("tabindex", 0);
  drawCode();
  showNumbersInLines();
  light(view.chosen);
}

// A stage that has no symbol of its own is what is written for it.
const stageFormula = stage => stage.name in view.printer.notation.writtenOut ? formula(expression(stage.is))
  : formula(valueOf(stage.name), "=", expression(stage.is));

function gradientRows(gradient, shown) {
  const name = gradient.value, several = gradient.forks.length > 1;
  const attributes = {class: `line head ${colourOf(name)}`, "data-value": name, onclick: () => choose(name)};
  const number = gradient.n ? String(gradient.n) : "";
  if (!several) {
    const [fork] = gradient.forks;
    const right = fork ? termFormula(fork) : [name === CELL.loss ? 1 : 0];
    const keys = fork ? {"data-keys": fork.key} : {};
    return lineRow({...attributes, ...keys}, number, formula(adjointOf(name), "=", ...right),
      codeOf("backward", `d_${name}`, shown), "backward", name);
  }
  const head = lineRow(attributes, number, [formula(adjointOf(name), "="), el("span", {class: "aside"}, ` ${gradient.forks.length} terms`)],
    "", "backward", name);
  return [head, ...gradient.forks.map(fork => lineRow(
    {class: `line term ${colourOf(name)}`, "data-keys": fork.key, onclick: () => choose(name)},
    el("span", {class: `badge ${colourOf(name)}`}, String(fork.number)), formula(PLUS, ...termFormula(fork)),
    codeOf("backward", fork.key, shown), "term", name, fork.key))];
}

// A term as its value sees it: times moved by the lag, and a sum over time for what is static.
function termFormula(fork) {
  if (fork.kind === "start") return [["d", fork.reader, 0]];
  return fork.over ? ["Σ", moved(expression(fork.at), 0)] : [moved(expression(fork.at), fork.lag)];
}

function drawCode() {
  const numbered = (pass, title) => [el("h3", {}, title), el("pre", {tabindex: 0, "aria-label": `Code of the ${title}`},
    CELL.code[pass].map(([text, about = []]) => {
      const keys = about.filter(each => each in FORK), value = about.find(each => !(each in FORK));
      const name = pass === "forward" ? value : value?.slice(2);
      return el("span", {class: "codeline", "data-keys": keys.join(" ") || null, "data-value": name}, `${text}\n`);
    }))];
  refill(byId("code"), numbered("forward", "forward pass"), numbered("backward", "backward pass"));
}

function showNumbersInLines() {
  for (const node of document.querySelectorAll(".lines [data-number]")) {
    const {number, of, key} = node.dataset;
    const array = numberIn(view.run, number, of, key, view.step);
    const isKnown = array !== undefined && array !== null && known(number === "term" ? "backward" : number, of, view.step);
    node.textContent = isKnown ? rowNumbers(array) : "";
    node.title = isKnown ? toldAll(array, 6) : "";
    const before = isKnown && view.cut.size && number !== "forward" ? numberIn(view.whole, number, of, key, view.step) : null;
    node.classList.toggle("wrong", before !== null && distance(array, before) > 1e-9);
    node.closest("[role=row]").classList.toggle("is-cut", view.cut.has(key));
  }
}

function numberIn(run, number, of, key, step) {
  if (number === "forward") return run.value(of, step);
  if (number === "backward") return run.adjoint(of, step);
  const fork = FORK[key];
  if (STATIC.has(of)) return run.steppedTerms(fork, new Set()).map(([, term]) => term).reduce(add, filled(0, run.shape(of)));
  return run.term(fork, step);
}

function rowNumbers(array) {
  const shape = shapeOf(array);
  if (shape.length > 1 && entries(array).length > 4) return `size ${told(norm(array), 3)}`;
  return entries(array).length > 3 ? `${toldAll(entries(array).slice(0, 2))} …` : toldAll(array);
}

function keyInLines(event) {
  const rows = [...event.currentTarget.parentNode.querySelectorAll("[role=row]")], at = rows.indexOf(event.currentTarget);
  const next = {ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1}[event.key];
  if (rows[next]) {
    event.preventDefault();
    rows[at].tabIndex = -1;
    rows[next].tabIndex = 0;
    rows[next].focus();
  } else pressed(event, () => event.currentTarget.click());
}

follow("notation", drawLines);
follow("numbers", showNumbersInLines);
follow("choice", showNumbersInLines);
