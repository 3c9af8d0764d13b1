// The same step again and again: how many steps, the paths of a gradient, and how it fades.

const MOST_PATHS = 60;                           // that are listed

function drawTime() {
  refill(byId("how-many"), Array.from({length: CELL.mostSteps - 1}, (_, k) => button(`T = ${k + 2}`, () => setSteps(k + 2),
    {"aria-pressed": String(view.steps === k + 2)})));
  drawPaths();
}

function setSteps(count) {
  view.steps = count;
  view.step = Math.min(view.step, count);
  view.reached = Infinity;
  changed("numbers");
  changed("notation");
}

// ---------------------------------------------------------------- paths

// Every way of a gradient to a value at a step: lists of [fork, step of the reader], the first of them at the value.
function* pathsTo(name, step) {
  for (const fork of GRADIENT[name]?.forks ?? []) {
    const at = step + fork.lag;
    if (fork.kind === "output" ? step < 1 : !exists(fork.reader, at, view.steps)) continue;
    if (expression(fork.up)[0] !== "d") yield [[fork, at]];
    else for (const rest of pathsTo(fork.reader, at)) yield [[fork, at], ...rest];
  }
}

function countPaths(name, step, counted = new Map()) {
  const id = `${name} ${step}`;
  if (!counted.has(id)) {
    counted.set(id, (GRADIENT[name]?.forks ?? []).reduce((sum, fork) => {
      if (fork.kind === "output" ? step < 1 : !exists(fork.reader, step + fork.lag, view.steps)) return sum;
      return sum + (expression(fork.up)[0] !== "d" ? 1 : countPaths(fork.reader, step + fork.lag, counted));
    }, 0));
  }
  return counted.get(id);
}

// What comes back along one path.
function alongPath(path) {
  let gradient = null;
  for (const [fork, step] of [...path].reverse()) {
    gradient = view.whole.whole(fork.target, evaluate(expression(fork.at), view.whole.at(step, gradient)));
  }
  return gradient;
}

function drawPaths() {
  const name = view.chosen, step = view.step;
  if (!name || STATIC.has(name)) return refill(byId("paths"), el("p", {class: "aside"}, "Choose a value of a step: its paths are counted here."));
  const count = countPaths(name, step), at = new Printer(view.notation, step).asMath(valueOf(name));
  const listed = [];
  for (const path of pathsTo(name, step)) {
    listed.push(path);
    if (listed.length === MOST_PATHS) break;
  }
  const sum = listed.length === count && count ? listed.map(alongPath).reduce(add) : null;
  return refill(byId("paths"),
    el("p", {}, "From the loss, ", el("b", {id: "path-count"}, String(count)), ` path${count === 1 ? " leads" : "s lead"} back to `, at,
      `, of T = ${view.steps} steps. Each is a product of local derivatives; the gradient is their sum.`),
    el("details", {}, el("summary", {}, count > MOST_PATHS ? `The first ${MOST_PATHS}` : "All of them"),
      el("ol", {class: "paths"}, listed.map(path => el("li", {}, pathTold(path, step), " ", el("span", {class: "number"}, rowNumbers(alongPath(path)))))),
      sum === null ? null : el("p", {}, "Their sum: ", el("span", {class: "number", id: "path-sum"}, rowNumbers(sum)))));
}

function pathTold(path, start) {
  const symbol = (name, step) => new Printer(view.notation, step).asMath(valueOf(name));
  const ways = path.map(([fork, step]) => fork.kind === "output" ? "loss" : symbol(fork.reader, step));
  if (path.at(-1)[0].kind !== "output" && path.at(-1)[0].reader !== CELL.loss) ways.push("loss");
  return [symbol(path[0][0].target, start), ways.map(way => [" → ", way])];
}

// ---------------------------------------------------------------- fading

// The states that are multiplied by one value from step to step, and by nothing else: {state, gate}.
const carousels = () => CELL.states.flatMap(state => (GRADIENT[state]?.forks ?? [])
  .filter(fork => fork.lag && fork.reader === state && fork.kind === "elementwise")
  .map(fork => ({state, gate: expression(fork.local)}))
  .filter(({gate}) => gate[0] === "v" && gate[2] === 0 && gate[1] in STAGE));

const FADING_STEPS = 24;

// The norm of the derivative of the last state by those before: along all paths, with the gate held at a number.
function fadingCurve(state, held) {
  const {start} = view, first = name => start.inputs[name][0];
  const long = {...start, inputs: byName(Object.keys(start.inputs).map(name =>
    [name, Array.from({length: FADING_STEPS}, (_, k) => start.inputs[name][k % view.steps] ?? first(name))])), outside: bare()};
  const run = new Run({sizes: view.sizes, start: long, steps: FADING_STEPS, held});
  const cutAtGate = new Set(Object.values(FORK).filter(fork => fork.reader in held).map(fork => fork.key));
  const squares = Array(FADING_STEPS).fill(0), shape = run.shape(state);
  for (const place of places(shape)) {
    run.backward(cutAtGate, {name: state, array: withEntry(filled(0, shape), place, 1)});
    for (let lag = 0; lag < FADING_STEPS; lag++) squares[lag] += inner(run.adjoint(state, FADING_STEPS - lag), run.adjoint(state, FADING_STEPS - lag));
  }
  const unit = Math.sqrt(places(shape).length);
  return squares.map(square => Math.sqrt(square) / unit);
}

function drawFading() {
  const [found] = carousels(), gate = Number(byId("gate").value) / 1000;
  byId("gate-row").hidden = !found;
  const state = found?.state ?? CELL.states.find(name => CELL.shapes[name].length < 2) ?? CELL.states[0];
  const all = fadingCurve(state, bare(found ? {[found.gate[1]]: gate} : {}));
  const direct = found ? all.map((_, lag) => gate ** lag) : null;
  refill(byId("gate-of"), found ? [formula(found.gate), " = ", gate.toFixed(3)] : []);
  refill(byId("curve"), curve(all, direct));
  const last = FADING_STEPS - 1;
  refill(byId("faded"), found
    ? ["Over ", String(last), " steps, ", formula(found.gate), ` = ${gate.toFixed(3)} leaves ${told(gate ** last, 4)} of the gradient at `,
      formula(valueOf(state)), ` along its direct path, and ${told(all[last], 4)} along all paths, with the numbers above.`]
    : ["No path leads ", formula(valueOf(state)), " straight from step to step through a gate alone. Along all paths ",
      `${told(all[last], 4)} of its gradient is left after ${last} steps, with the numbers above.`]);
}

// A curve over the lag, on a logarithmic axis from 10 to 10^-6.
function curve(all, direct) {
  const [width, height, left, bottom] = [560, 240, 52, 30], lowest = -6, highest = 1;
  const across = lag => left + lag / (FADING_STEPS - 1) * (width - left - 12);
  const down = size => 10 + (highest - Math.max(lowest, Math.min(highest, Math.log10(Math.max(size, 1e-30))))) / (highest - lowest) * (height - 10 - bottom);
  const line = (values, kind) => svg("polyline", {class: `curve ${kind}`, points: values.map((size, lag) => `${across(lag).toFixed(1)},${down(size).toFixed(1)}`).join(" ")});
  const grid = Array.from({length: highest - lowest + 1}, (_, k) => highest - k).map(power => [
    svg("line", {class: "grid", x1: left, x2: width - 12, y1: down(10 ** power), y2: down(10 ** power)}),
    svg("text", {class: "axis", x: left - 8, y: down(10 ** power) + 4, "text-anchor": "end"}, power === 0 ? "1" : power === 1 ? "10" : `10${[...String(-power)].map(digit => "⁰¹²³⁴⁵⁶"[digit]).join("").replace(/^/, "⁻")}`)]);
  const marks = [0, 5, 10, 15].map(lag => svg("text", {class: "axis", x: across(lag), y: height - 10, "text-anchor": "middle"}, String(lag)));
  return svg("svg", {viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "The norm of the gradient over the steps back"}, grid, marks,
    svg("text", {class: "axis", x: width - 12, y: height - 10, "text-anchor": "end"}, "steps back"), direct ? line(direct, "direct") : null, line(all, "all"));
}

function readyTime() {
  byId("gate").addEventListener("input", drawFading);
}

follow("notation", () => { drawTime(); drawFading(); });
follow("choice", drawPaths);
follow("numbers", () => { drawPaths(); drawFading(); });
