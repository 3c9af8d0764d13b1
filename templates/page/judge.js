// Is a line right? It is compared with the derived gradient at random points, and with what is left without some terms.

const JUDGED_STEPS = 4, JUDGED_POINTS = 12, SAME = 1e-8;

function judgedPoints() {
  const sizes = byName(CELL.dims.map((symbol, k) => [symbol, 3 + k])), random = generator(7), found = [];
  for (let draw = 0; draw < 60 && found.length < JUDGED_POINTS; draw++) {
    const run = new Run({sizes, start: drawn(sizes, JUDGED_STEPS, random), steps: JUDGED_STEPS}).backward();
    if (CELL.gradients.every(({value}) => entries(run.adjoint(value, 2) ?? 0).every(Number.isFinite))) found.push(run);
  }
  return found;
}

let pointsOfJudge = null;                        // drawn when the first line is judged

// The steps at which a value is looked at: one in the middle, and the last where the loss is there alone.
const judgedSteps = name => CELL.lossAtLast ? (LAST_ONLY.has(name) ? [JUDGED_STEPS] : [2, JUDGED_STEPS]) : [2];

// The gradients that a line can be typed for.
const judged = () => CELL.gradients.filter(({value, forks}) => forks.length && value !== CELL.loss &&
  !forks.some(fork => fork.kind === "start") && (!STATIC.has(value) || forks.every(fork => fork.over)));

function termAt(run, fork, step) {
  if (!STATIC.has(fork.target)) return run.term(fork, step) ?? filled(0, run.shape(fork.target));
  return exists(fork.reader, step, run.steps) ? run.whole(fork.target, evaluate(expression(fork.at), run.at(step)))
    : filled(0, run.shape(fork.target));
}

// The verdict on a line: {verdict: right | incomplete | wrong, missing: forks, told: sentences}.
function judge(name, line) {
  pointsOfJudge ??= judgedPoints();
  const {forks} = GRADIENT[name], said = [], terms = forks.map(() => []);
  for (const run of pointsOfJudge) {
    for (const step of judgedSteps(name)) {
      const array = evaluate(line, run.at(step)), wanted = run.shape(name);
      if (shapeOf(array).length && String(shapeOf(array)) !== String(wanted)) {
        throw new Misfit(`the line gives ${sizeTold(shapeOf(array))}, and the gradient is ${sizeTold(wanted)}`);
      }
      said.push(...entries(run.whole(name, array)));
      forks.forEach((fork, k) => terms[k].push(...entries(termAt(run, fork, step))));
    }
  }
  if (!said.every(Number.isFinite)) return {verdict: "wrong", missing: [], told: ["It is not finite at some random points."]};
  const right = terms.reduce(add);
  if (distance(said, right) < SAME) return {verdict: "right", missing: [], told: []};
  return explained(forks, said, terms) ?? slipped(name, forks, said, terms);
}

// A line that is a sum of the right terms, some of them with another factor.
function explained(forks, said, terms) {
  const factors = leastSquares(terms, said) ?? subset(terms, said);
  if (!factors || distance(said, combined(factors, terms)) > 1e-7) return null;
  const whole = factors.map(factor => Math.round(factor * 12) / 12);
  if (whole.some((factor, k) => Math.abs(factor - factors[k]) > 1e-6)) return null;
  const missing = forks.filter((_, k) => whole[k] === 0);
  const odd = forks.map((fork, k) => [fork, whole[k]]).filter(([, factor]) => factor !== 0 && factor !== 1);
  if (!odd.length) return {verdict: missing.length ? "incomplete" : "right", missing, told: []};
  const told = odd.map(([fork, factor]) => factor === -1 ? `The term through ${fork.reader} has the wrong sign.`
    : `The term through ${fork.reader} is there ${minus(String(Math.round(factor * 1e6) / 1e6))} times.`);
  return {verdict: "wrong", missing, told};
}

// A line with one usual slip in one term, the others being right or missing.
function slipped(name, forks, said, terms) {
  for (const [k, fork] of forks.entries()) {
    for (const [told, variant] of slips(fork)) {
      const found = pointsOfJudge.flatMap(run => judgedSteps(name).flatMap(step => variantAt(run, fork, variant, step)));
      const others = found.length === said.length && explained(forks, said, terms.with(k, found));
      if (others && others.verdict !== "wrong" && !others.missing.includes(fork)) {
        return {verdict: "wrong", missing: others.missing, told: [`In the term through ${fork.reader} ${told}.`]};
      }
    }
  }
  return {verdict: "wrong", missing: [], told: ["It is neither the sum of the terms nor a part of it."]};
}

function* slips(fork) {
  const isStatic = STATIC.has(fork.target), lag = isStatic ? 0 : fork.lag, at = moved(expression(fork.at), lag);
  const later = (kind, by) => replaced(at, part => part[0] === kind && !STATIC.has(part[1]) ? [kind, part[1], part[2] + by] : null);
  if (lag) {
    yield ["everything is of step t, and the reader is of step t+1", moved(at, -1)];
    yield ["the values are not of step t+1", later("v", -1)];
    yield ["the upstream gradient is not of step t+1", later("d", -1)];
  }
  yield ["a value is of the step before", later("v", -1)];
  yield ["a value is of the step after", later("v", 1)];
  yield ["the matrix is not transposed", replaced(at, part => part[0] === "f" && part[1] === "transpose" ? part[2] : null)];
  yield ["a square is missing", replaced(at, part => part[0] === "^" && part[2] === 2 ? part[1] : null)];
  yield ["the local derivative is missing", moved(expression(fork.up), lag)];
}

function replaced(e, rule) {
  if (typeof e !== "object") return e;
  return rule(e) ?? e.map((part, k) => k ? replaced(part, rule) : part);
}

function variantAt(run, fork, variant, step) {
  try {
    return entries(run.whole(fork.target, evaluate(variant, run.at(step))));
  } catch (error) {
    if (error instanceof Misfit) return [];
    throw error;
  }
}

const combined = (factors, terms) => terms.map((term, k) => scaled(factors[k], term)).reduce(add);

// Factors of 0 and 1 with which the terms give the line, the fewest zeros first; null if there are none.
function subset(terms, said) {
  if (terms.length > 10) return null;
  const choices = Array.from({length: 2 ** terms.length}, (_, bits) => terms.map((_, k) => bits >> k & 1));
  choices.sort((a, b) => total(b) - total(a));
  return choices.find(factors => distance(said, combined(factors, terms)) < SAME) ?? null;
}

// The factors with which the terms come closest to the line; null where the terms cannot be told apart.
function leastSquares(terms, said) {
  const size = terms.length;
  const rows = terms.map(left => [...terms.map(right => inner(left, right)), inner(left, said)]);
  for (let k = 0; k < size; k++) {
    const pivot = rows.slice(k).reduce((best, row, i) => Math.abs(row[k]) > Math.abs(rows[best][k]) ? k + i : best, k);
    if (Math.abs(rows[pivot][k]) < 1e-9 * Math.max(1e-12, ...rows.map(row => Math.abs(row[k])))) return null;
    [rows[k], rows[pivot]] = [rows[pivot], rows[k]];
    for (let i = 0; i < size; i++) {
      if (i !== k) {
        const factor = rows[i][k] / rows[k][k];
        for (let j = k; j <= size; j++) rows[i][j] -= factor * rows[k][j];
      }
    }
  }
  const found = rows.map((row, k) => row[size] / row[k]);
  return found.every(Number.isFinite) ? found : null;
}
