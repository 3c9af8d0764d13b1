// What the reader has chosen, in one place. Whoever changes it calls `changed`, and every part of the page follows.

const view = {
  notation: CELL.notation, printer: null, chosen: null, step: 2, steps: CELL.steps, reached: Infinity,
  sizes: CELL.example.sizes, start: null, run: null, whole: null, cut: new Set(), practising: false,
};

// The example, with states that start from their parameters where these are learned.
function exampleStart() {
  const start = readJson(JSON.stringify(CELL.example));
  start.final = byName(CELL.states.map(name => [name, filled(0, sizesOf(name, start.sizes))]));
  return bare({...start, learned: true});
}

// Compute everything anew: `run` with the contributions that are cut left out, `whole` with all of them.
function recompute() {
  const point = {sizes: view.sizes, start: view.start, steps: view.steps};
  view.whole = new Run(point).backward();
  view.run = view.cut.size ? new Run(point).backward(view.cut) : view.whole;
}

const followers = {numbers: [], choice: [], notation: []};
const follow = (what, follower) => followers[what].push(follower);
function changed(what) {
  if (what === "numbers") recompute();
  if (what === "notation") view.printer = new Printer(view.notation);
  for (const follower of followers[what]) follower();
}

function choose(name, step = view.step) {
  view.chosen = name;
  view.step = step;
  changed("choice");
}

function setNotation(id) {
  view.notation = id;
  changed("notation");
}

// ---------------------------------------------------------------- what lights up

// Everything that shows a value has data-value; everything that shows a contribution has data-keys, a list of them.
function light(value, key = null) {
  const keys = new Set(key ? [key] : (GRADIENT[value]?.forks ?? []).map(fork => fork.key));
  const readers = new Set([...keys].map(each => FORK[each].reader));
  for (const node of document.querySelectorAll("[data-value],[data-keys],[data-stage]")) {
    const its = (node.dataset.keys ?? "").split(" ");
    node.classList.toggle("is-value", value !== null && node.dataset.value === value);
    node.classList.toggle("is-term", its.some(each => keys.has(each)));
    node.classList.toggle("is-reader", readers.has(node.dataset.stage) && node.dataset.value !== value);
  }
}

// Point at something: it lights up until something else is pointed at or the pointer leaves.
function pointing(event) {
  const node = event.target.closest?.("[data-keys],[data-value]");
  const keys = node?.dataset.keys?.split(" ") ?? [];
  if (keys.length === 1 && FORK[keys[0]] && !node.dataset.value) light(FORK[keys[0]].target, keys[0]);
  else if (node?.dataset.value) light(node.dataset.value);
  else light(view.chosen);
}
