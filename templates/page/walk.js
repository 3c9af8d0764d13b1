// Walking through the computation: forward value by value, then backward gradient by gradient.

function walkEvents() {
  const found = [], moving = CELL.stages.filter(stage => !STATIC.has(stage.name));
  for (const stage of CELL.stages) if (STATIC.has(stage.name)) found.push(["forward", stage.name, 0]);
  for (let step = 1; step <= view.steps; step++) {
    for (const stage of moving) if (exists(stage.name, step, view.steps)) found.push(["forward", stage.name, step]);
  }
  const inner = CELL.gradients.filter(gradient => !STATIC.has(gradient.value));
  for (let step = view.steps; step >= 1; step--) {
    for (const gradient of inner) if (view.run.adjoint(gradient.value, step) !== undefined) found.push(["backward", gradient.value, step]);
  }
  for (const gradient of inner) if (CELL.states.includes(gradient.value)) found.push(["backward", gradient.value, 0]);
  for (const gradient of CELL.gradients) if (STATIC.has(gradient.value)) found.push(["backward", gradient.value, 0]);
  return found;
}

let events = [], position = bare();              // what is computed, and the place of each in it

function prepareWalk() {
  events = walkEvents();
  position = byName(events.map((event, k) => [event.join(" "), k]));
  byId("where").max = events.length;
  showWalk();
}

const placeOf = (kind, name, step) => position[[kind, name, STATIC.has(name) ? 0 : step].join(" ")] ?? -1;
const known = (kind, name, step) => placeOf(kind, name, step) < view.reached;
const isNow = (kind, name, step) => view.reached !== Infinity && placeOf(kind, name, step) === view.reached - 1;

function go(to) {
  view.reached = to >= events.length ? Infinity : Math.max(0, to);
  const at = events[Math.min(view.reached, events.length) - 1];
  if (at && view.reached !== Infinity) {
    if (at[2] > 0) view.step = at[2];
    view.chosen = GRADIENT[at[1]] ? at[1] : view.chosen;
  }
  changed("choice");
}

function showWalk() {
  const reached = Math.min(view.reached, events.length);
  byId("where").value = reached;
  byId("back").disabled = byId("first").disabled = reached === 0;
  byId("next").disabled = byId("last").disabled = reached === events.length;
  byId("where").setAttribute("aria-valuetext", `${reached} of ${events.length}`);
  refill(byId("steps"), Array.from({length: view.steps}, (_, k) =>
    button(`t = ${k + 1}`, () => choose(view.chosen, k + 1), {"aria-pressed": String(view.step === k + 1)})));
  refill(byId("told"), walkTold(reached));
}

function walkTold(reached) {
  if (reached === events.length) return "All is computed. Walk through it one value at a time, or choose any value.";
  if (reached === 0) return "Nothing is computed yet: only the inputs, the parameters and the start are known.";
  const [kind, name, step] = events[reached - 1];
  const when = STATIC.has(name) ? "Once" : step ? `Step ${step}` : "Before step 1";
  if (kind === "forward") return [`${when}, forward: `, stageFormula(STAGE[name]), ` = ${rowNumbers(view.run.value(name, step))}`];
  const forks = GRADIENT[name].forks.length;
  return [`${when}, backward: `, formula(adjointOf(name)), ` = ${rowNumbers(view.run.adjoint(name, step))}`,
    forks > 1 ? `, a sum of ${forks} terms` : ""];
}

function readyWalk() {
  byId("first").addEventListener("click", () => go(0));
  byId("back").addEventListener("click", () => go(Math.min(view.reached, events.length) - 1));
  byId("next").addEventListener("click", () => go(Math.min(view.reached, events.length) + 1));
  byId("last").addEventListener("click", () => go(events.length));
  byId("where").addEventListener("input", event => go(Number(event.target.value)));
}

follow("numbers", prepareWalk);
follow("choice", showWalk);
follow("notation", showWalk);
