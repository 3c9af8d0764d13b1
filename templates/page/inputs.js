// The numbers that the reader may change: parameters, the start, inputs, and what comes back from outside.

function numberGroups() {
  const start = view.start, steps = Array.from({length: view.steps}, (_, k) => k);
  const perStep = (title, arrays, e) => Object.keys(arrays).flatMap(name => steps.map(k =>
    ({title, e: e(name), step: k + 1, array: arrays[name][k], put: array => { arrays[name][k] = array; }})));
  const one = (title, arrays, names, e) => names.map(name =>
    ({title, e: e(name), step: null, array: arrays[name], put: array => { arrays[name] = array; }}));
  const states = CELL.states.filter(name => !(name in CELL.learned));
  return [
    ["Inputs", perStep("", start.inputs, name => valueOf(name))],
    ["Gradient from outside", [...perStep("", start.outside, name => ["o", name, 0]), ...one("final", start.final, CELL.states, name => ["d", name, 0])]],
    ["Initial state", one("start", start.state, states, name => valueOf(name))],
    ["Parameters", one("", start.parameters, CELL.parameters, name => valueOf(name))],
  ].filter(([, rows]) => rows.length);
}

function drawInputs() {
  refill(byId("numbers"), numberGroups().map(([title, rows]) => el("fieldset", {class: "numbers"}, el("legend", {}, title),
    rows.map(row => el("div", {class: "quantity"}, el("span", {class: "of"}, quantityTold(row)), numberFields(row))))));
  showLoss();
}

function quantityTold({title, e, step}) {
  if (title === "start") return new Printer(view.notation, 0).asMath(e);
  if (title === "final") return [new Printer(view.notation, view.steps).asMath(e), el("span", {class: "aside"}, " from the final state")];
  return step === null ? formula(e) : new Printer(view.notation, step).asMath(e);
}

function numberFields(row) {
  const shape = shapeOf(row.array);
  const field = place => el("input", {
    type: "text", inputmode: "decimal", value: String(entryAt(row.array, place)), size: 5, spellcheck: "false", autocomplete: "off",
    "aria-label": `${inWords(row.e)}${row.step ? ` step ${row.step}` : ""}${place.length ? ` entry ${place.map(i => i + 1).join(", ")}` : ""}`,
    onchange: event => changeNumber(event.target, row, place),
  });
  const begins = line => line.length === 2 && line[0] && !line[1];  // the matrix of another head
  return el("span", {class: "fields"}, places(shape.slice(0, -1)).map(line => el("span", begins(line) ? {class: "head"} : {},
    shape.length ? entryAt(row.array, line).map((_, k) => field([...line, k])) : field([]))));
}

function changeNumber(field, row, place) {
  const number = Number(field.value.trim().replace("−", "-").replace(",", "."));
  const isNumber = field.value.trim() !== "" && Number.isFinite(number);
  field.setAttribute("aria-invalid", String(!isNumber));
  if (!isNumber) return;
  row.array = withEntry(row.array, place, number);
  row.put(row.array);
  changed("numbers");
}

function showLoss() {
  refill(byId("loss"), "The loss is ", told(view.whole.loss, 6), ": ",
    CELL.loss ? ["the sum of ", formula(valueOf(CELL.loss)), CELL.lossAtLast ? " at the last step" : " over the steps"]
      : ["the sum of ", CELL.outputs.map((name, k) => [k ? " and " : "", formula(["o", name, 0], "·", valueOf(name))]), " over the steps"],
    CELL.loss ? "." : [", so that ", CELL.outputs.map((name, k) => [k ? " and " : "", formula(["o", name, 0])]), " is what comes back from it."]);
}

follow("notation", drawInputs);
follow("numbers", showLoss);
