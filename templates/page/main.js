// The start: everything is drawn once, and then follows what the reader chooses.

function drawNotations() {
  refill(byId("notations"), CELL.notations.length < 2 ? [] : [el("legend", {}, "Symbols"), CELL.notations.map(({id, label}) =>
    el("label", {}, el("input", {type: "radio", name: "notation", value: id, checked: id === view.notation, onchange: () => setNotation(id)}),
      el("span", {}, label)))]);
}

// The value that a page opens with: the state with the most readers.
function firstChoice() {
  const count = name => GRADIENT[name]?.forks.length ?? 0;
  const named = [...CELL.states, ...CELL.stages.map(stage => stage.name), ...CELL.inputs].filter(name => GRADIENT[name]);
  const forks = CELL.states.filter(name => count(name) > 1 && GRADIENT[name].forks.some(fork => fork.kind !== "output" && !fork.lag));
  return (forks.length ? forks : named)[0] ?? null;
}

function start() {
  view.start = exampleStart();
  view.printer = new Printer(view.notation);
  view.chosen = firstChoice();
  drawNotations();
  readyWalk();
  readyExercise();
  readyTime();
  byId("reset").addEventListener("click", () => { view.start = exampleStart(); view.cut.clear(); changed("numbers"); drawInputs(); });
  document.addEventListener("pointerover", pointing);
  recompute();
  prepareWalk();
  changed("notation");
  light(view.chosen);
}

start();
