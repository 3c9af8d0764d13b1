// Scalars, vectors, matrices, and a matrix of each head: a number, an array of numbers, of rows, of matrices.

class Misfit extends Error {}                    // shapes that do not go together

const isArray = Array.isArray;
const map = (f, a) => isArray(a) ? a.map(part => map(f, part)) : f(a);
const shapeOf = a => isArray(a) ? [a.length, ...(a.length ? shapeOf(a[0]) : [])] : [];
const entries = a => isArray(a) ? a.flat(Infinity) : [a];
const norm = a => Math.hypot(...entries(a));
const copied = a => isArray(a) ? a.map(copied) : a;
const filled = (number, shape) => shape.length ? Array.from({length: shape[0]}, () => filled(number, shape.slice(1))) : number;
const sizeTold = shape => shape.length ? shape.join(" × ") : "a scalar";

// Entry by entry. A scalar meets anything; a vector and a matrix, or vectors of two lengths, never meet.
function zip(f, a, b) {
  if (!isArray(a)) return map(y => f(a, y), b);
  if (!isArray(b)) return map(x => f(x, b), a);
  if (String(shapeOf(a)) !== String(shapeOf(b))) {
    throw new Misfit(`entry by entry, ${sizeTold(shapeOf(a))} and ${sizeTold(shapeOf(b))} do not go together`);
  }
  return a.map((part, k) => zip(f, part, b[k]));
}

const add = (a, b) => zip((x, y) => x + y, a, b);
const subtract = (a, b) => zip((x, y) => x - y, a, b);
const multiply = (a, b) => zip((x, y) => x * y, a, b);
const scaled = (factor, a) => map(x => factor * x, a);
const inner = (a, b) => entries(a).reduce((sum, x, k) => sum + x * entries(b)[k], 0);

// A vector as it is, a matrix row by row.
const alongLast = (f, a) => isArray(a[0]) ? a.map(part => alongLast(f, part)) : f(a);
// A matrix as it is, those of heads one by one.
const ofEach = (f, a) => isArray(a[0][0]) ? a.map(f) : f(a);
const transposed = a => ofEach(matrix => matrix[0].map((_, k) => matrix.map(row => row[k])), a);

// A matrix times a vector or a matrix; of each head, where both have an axis of heads in front.
function applied(matrix, vector) {
  const axes = shapeOf(matrix).length, others = shapeOf(vector).length;
  if (axes < 2 || others < axes - 1 || others > axes) throw new Misfit("@ stands between a matrix and a vector, or two matrices");
  if (axes === 3) {
    if (matrix.length !== vector.length) throw new Misfit(`${matrix.length} heads do not go with ${vector.length}`);
    return matrix.map((part, k) => applied(part, vector[k]));
  }
  if (others === 2) return transposed(transposed(vector).map(column => applied(matrix, column)));
  if (matrix[0].length !== vector.length) {
    throw new Misfit(`a matrix of ${sizeTold(shapeOf(matrix))} does not go with a vector of ${vector.length}: ` +
      "is a transpose missing, or one too many?");
  }
  return matrix.map(row => row.reduce((sum, weight, k) => sum + weight * vector[k], 0));
}

// How far a is from b, as a part of the larger of the two.
function distance(a, b) {
  const largest = Math.max(0, ...entries(a).map(Math.abs), ...entries(b).map(Math.abs));
  const off = Math.max(0, ...entries(zip((x, y) => Math.abs(x - y), a, b)));
  return largest ? off / largest : 0;
}

// Every place in an array, as a list of indices.
const places = shape => shape.length
  ? Array.from({length: shape[0]}, (_, k) => places(shape.slice(1)).map(rest => [k, ...rest])).flat()
  : [[]];
const entryAt = (a, place) => place.reduce((part, k) => part[k], a);
const withEntry = (a, [first, ...rest], number) =>
  first === undefined ? number : a.map((part, k) => k === first ? withEntry(part, rest, number) : part);

// Random numbers that are the same each time: mulberry32.
function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

const minus = text => text.replace("-", "−");
function told(number, digits = 4) {
  if (!Number.isFinite(number)) return String(number);
  const size = Math.abs(number);
  if (size < 1e-13) return "0";                  // a rounding error of terms that cancel
  return minus(size >= 1e4 || size < 10 ** -digits ? number.toExponential(1) : number.toFixed(digits));
}
const toldAll = (a, digits = 4) => !isArray(a) ? told(a, digits) : !isArray(a[0]) ? a.map(x => told(x, digits)).join("  ")
  : a.map(part => toldAll(part, digits)).join(isArray(a[0][0]) ? " | " : "; ");
