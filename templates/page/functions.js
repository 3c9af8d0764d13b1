// What each function of the language does to numbers; `lstmgen/language/functions.py` has the same table.

const sigmoid = a => 1 / (1 + Math.exp(-a));
const total = row => row.reduce((sum, x) => sum + x, 0);
const running = row => { let sum = 0; return row.map(x => sum += x); };
const deviation = (row, eps) => {
  const mean = total(row) / row.length;
  return Math.sqrt(total(row.map(x => (x - mean) ** 2)) / row.length + eps);
};
const standardised = (row, eps) => {
  const mean = total(row) / row.length, deviated = deviation(row, eps);
  return row.map(x => (x - mean) / deviated);
};
const softmax = row => {
  const largest = Math.max(...row), raised = row.map(x => Math.exp(x - largest));
  return raised.map(x => x / total(raised));
};
const lse = row => { const largest = Math.max(...row); return largest + Math.log(total(row.map(x => Math.exp(x - largest)))); };
const overRoot = (row, below) => row.map(x => x / Math.sqrt(below));
const sumOfSquares = row => total(row.map(x => x * x));
const bell = a => 2 / Math.sqrt(Math.PI) * Math.exp(-a * a);
const erf = a => {  // a series without subtractions
  if (Math.abs(a) > 6) return Math.sign(a);
  let term = a, sum = a;
  for (let n = 1; n < 200; n++) sum += term *= 2 * a * a / (2 * n + 1);
  return bell(a) * sum;
};
const matrixOf = (n, m, entry) => Array.from({length: n}, (_, j) => Array.from({length: m}, (_, k) => entry(j, k)));
const repeated = (row, count) => row.flatMap(x => Array(count).fill(x));
const gathered = (row, count) => Array.from({length: row.length / count}, (_, k) => total(row.slice(k * count, (k + 1) * count)));
const partOf = (row, k, count) => row.slice(k * row.length / count, (k + 1) * row.length / count);
const placed = (row, k, count) => Array.from({length: count}, (_, j) => j === k ? row : row.map(() => 0)).flat();

const POINTWISE = {
  __proto__: null,
  sigmoid, tanh: Math.tanh, relu: a => a > 0 ? a : 0, leaky_relu: a => a > 0 ? a : 0.01 * a,
  elu: a => a > 0 ? a : Math.exp(a) - 1, softplus: a => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a))),
  softsign: a => a / (1 + Math.abs(a)), exp: Math.exp, log: Math.log,
  logsigmoid: a => Math.min(a, 0) - Math.log1p(Math.exp(-Math.abs(a))), sqrt: Math.sqrt, rsqrt: a => 1 / Math.sqrt(a),
  expm1: Math.expm1, log1p: Math.log1p, erf, Bell: bell,
  abs: Math.abs, sin: Math.sin, cos: Math.cos, sign: Math.sign, floor: Math.floor,
};

const OF_ARRAYS = {
  __proto__: null,
  max: (a, b) => zip(Math.max, a, b), min: (a, b) => zip(Math.min, a, b),
  clip: (a, low, high) => zip(Math.min, zip(Math.max, a, low), high),
  surrogate: (a, b, c) => zip((_, value) => value, a, b),
  sum: a => alongLast(total, a), mean: a => alongLast(row => total(row) / row.length, a),
  logsumexp: a => alongLast(lse, a), softmax: a => alongLast(softmax, a), cumsum: a => alongLast(running, a),
  layer_norm: (a, eps = 1e-5) => alongLast(row => standardised(row, eps), a),
  rms_norm: (a, eps = 1e-6) => alongLast(row => overRoot(row, sumOfSquares(row) / row.length + eps), a),
  l2_norm: (a, eps = 1e-6) => alongLast(row => overRoot(row, sumOfSquares(row) + eps), a),
  ones: (n, m) => m === undefined ? Array(n).fill(1) : matrixOf(n, m, () => 1),
  eye: n => matrixOf(n, n, (j, k) => j === k ? 1 : 0), triangle: n => matrixOf(n, n, (j, k) => k <= j ? 1 : 0),
  Array: (n, ...entries) => n === 0 ? entries : matrixOf(n, entries.length / n, (j, k) => entries[j * entries.length / n + k]),
  dot: (a, b) => isArray(a[0]) ? a.map((row, k) => OF_ARRAYS.dot(row, b[k])) : inner(a, b),
  outer: (a, b) => isArray(a[0]) ? a.map((row, k) => OF_ARRAYS.outer(row, b[k])) : a.map(x => b.map(y => x * y)),
  transpose: transposed, fill: (a, n) => isArray(a) ? a.map(part => OF_ARRAYS.fill(part, n)) : Array(n).fill(a),
  heads: (a, n) => alongLast(row => Array.from({length: n}, (_, k) => partOf(row, k, n)), a),
  flat: a => ofEach(rows => rows.flat(), a),
  repeat: (a, n) => alongLast(row => repeated(row, n), a),
  concat: (...parts) => isArray(parts[0][0]) ? parts[0].map((_, k) => OF_ARRAYS.concat(...parts.map(part => part[k])))
    : parts.flat(),
  part: (a, k, n) => alongLast(row => partOf(row, k, n), a), stop_gradient: a => a, clip_gradient: a => a,
  // what derivatives need
  Clip: (a, bound) => map(x => Math.min(Math.max(x, -bound), bound), a),
  Reverse_cumsum: a => alongLast(row => running([...row].reverse()).reverse(), a),
  Inverse_std: (a, eps = 1e-5) => alongLast(row => 1 / deviation(row, eps), a),
  Inverse_rms: (a, eps = 1e-6) => alongLast(row => 1 / Math.sqrt(sumOfSquares(row) / row.length + eps), a),
  Inverse_norm: (a, eps = 1e-6) => alongLast(row => 1 / Math.sqrt(sumOfSquares(row) + eps), a),
  Fold: (a, n) => alongLast(row => gathered(row, n), a), Place: (a, k, n) => alongLast(row => placed(row, k, n), a),
  Slice: (a, low, high) => alongLast(row => row.slice(low, high), a),
};

const TAKES_ARRAYS = new Set(["sum", "mean", "logsumexp", "softmax", "cumsum", "layer_norm", "dot", "outer", "transpose",
  "repeat", "heads", "flat", "concat", "part", "Fold", "Place", "Slice", "Reverse_cumsum", "Inverse_std", "rms_norm", "l2_norm",
  "Inverse_rms", "Inverse_norm"]);

const RELATIONS = {"<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b};

function chosenBy(relation, left, right, chosen, other) {
  const holds = zip((a, b) => RELATIONS[relation](a, b) ? 1 : 0, left, right);
  const pick = (flag, a, b) => isArray(flag) || isArray(a) || isArray(b)
    ? Array.from({length: (isArray(flag) ? flag : isArray(a) ? a : b).length}, (_, k) =>
      pick(isArray(flag) ? flag[k] : flag, isArray(a) ? a[k] : a, isArray(b) ? b[k] : b))
    : flag ? a : b;
  return pick(holds, chosen, other);
}
