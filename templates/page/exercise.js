// A line of the reader's own, judged; and practice: one gradient after another, with hints and a score.

const practice = {list: [], at: 0, hints: 0, points: 0, solved: 0};
const FULL = 3;                                  // points for a line without a hint

function drawExercise() {
  const which = byId("which"), before = which.value;
  refill(which, judged().map(({value}) => el("option", {value}, `d_${value}`)));
  which.value = judged().some(({value}) => value === before) ? before : judged().some(({value}) => value === view.chosen) ? view.chosen : judged()[0]?.value;
  byId("line").placeholder = "for example: d_" + (CELL.stages.at(-1)?.name ?? "h") + " * ...";
  drawPractice();
  showReading();
}

// What the page understands, while the line is typed.
function showReading() {
  const text = byId("line").value;
  if (!text.trim()) return refill(byId("reading"));
  try {
    const e = readLine(text);
    return refill(byId("reading"), "Read as ", formula(adjointOf(byId("which").value), "=", e));
  } catch (error) {
    if (!(error instanceof Unread)) throw error;
    return refill(byId("reading"), "Not read", placeTold(text, error.at), `: ${error.message}.`);
  }
}

// LaTeX or the language of claims: a line says itself which it is.
function readLine(text) {
  return isLatex(text) ? new LatexReader(text, byId("which").value).read() : new Reader(text).read();
}

// Where it cannot be read: the line so far, and the character that is meant.
function placeTold(text, at) {
  if (at === null) return [];
  return [` at character ${at + 1}, `, el("code", {}, text.slice(Math.max(0, at - 12), at), el("mark", {}, text.slice(at, at + 6) || "␣"), text.slice(at + 6, at + 14))];
}

function judgeLine(event) {
  event.preventDefault();
  const name = byId("which").value, verdict = byId("verdict");
  try {
    const found = judge(name, readLine(byId("line").value));
    verdict.className = found.verdict;
    refill(verdict, verdictTold(name, found));
    if (view.practising && found.verdict === "right") solved();
  } catch (error) {
    if (!(error instanceof Unread || error instanceof Misfit)) throw error;
    verdict.className = "unread";
    refill(verdict, el("b", {}, "Not judged. "), `${error.message}.`);
  }
}

function verdictTold(name, {verdict, missing, told}) {
  const through = fork => fork.kind === "output" ? "what comes from outside"
    : ["through ", formula(moved(valueOf(fork.reader), fork.lag))];
  const list = missing.map((fork, k) => [k ? (k === missing.length - 1 ? " and " : ", ") : "", through(fork)]);
  if (verdict === "right") return [el("b", {}, "Right. "), "It equals the derived gradient at every random point."];
  const spoiler = view.practising && practice.hints < 2 && missing.length;
  const lacks = missing.length ? [spoiler ? `${missing.length} reader${missing.length > 1 ? "s are" : " is"} missing.` : ["Missing: ", list, "."]] : [];
  if (verdict === "incomplete") return [el("b", {}, "Incomplete. "), "Every term that is there is right. ", lacks];
  return [el("b", {}, "Wrong. "), told.join(" "), " ", lacks];
}

// ---------------------------------------------------------------- practice

function startPractice() {
  view.practising = !view.practising;
  document.body.classList.toggle("practising", view.practising);
  byId("practise").setAttribute("aria-pressed", String(view.practising));
  const forks = judged().filter(({value, forks: each}) => each.length > 1 && !STATIC.has(value));
  const others = judged().filter(({value, forks: each}) => each.length === 1 && value in STAGE && !STATIC.has(value));
  Object.assign(practice, {list: [...forks, ...others.slice(0, 3)].map(({value}) => value), at: 0, hints: 0, points: 0, solved: 0});
  if (view.practising) ask();
  drawPractice();
  changed("choice");
}

function ask() {
  practice.hints = 0;
  byId("which").value = practice.list[practice.at];
  byId("line").value = "";
  byId("verdict").textContent = "";
  byId("verdict").className = "";
  showReading();
  byId("line").focus();
}

function solved() {
  practice.points += Math.max(0, FULL - practice.hints);
  practice.solved += 1;
  practice.at += 1;
  drawPractice();
}

function drawPractice() {
  const {list, at, points, hints} = practice, done = at >= list.length, name = list[Math.min(at, list.length - 1)];
  byId("practise").textContent = view.practising ? "Stop practising" : "Practise: hide the derivation";
  byId("which").disabled = view.practising;
  if (!view.practising) return refill(byId("practice"));
  const score = el("p", {class: "score"}, `${points} of ${FULL * list.length} points, ${Math.min(at, list.length)} of ${list.length} gradients.`);
  if (done) return refill(byId("practice"), score, el("p", {}, "That was all of it. Stop practising to see the derivation."));
  const asked = el("p", {}, `${at + 1}. Which terms does `, formula(adjointOf(name)), " have? Who reads ", formula(valueOf(name)), "?");
  const next = byId("which").value !== name ? button("Next", () => { ask(); drawPractice(); }, {id: "next-exercise"}) : null;
  return refill(byId("practice"), score, asked, el("ul", {}, hintsOf(name).slice(0, hints).map(hint => el("li", {}, hint))),
    next ?? (hints < hintsOf(name).length ? button("A hint, for one point", () => { practice.hints += 1; drawPractice(); }, {id: "hint"}) : null));
}

function hintsOf(name) {
  const {forks} = GRADIENT[name], here = forks.filter(fork => !fork.lag && fork.kind !== "output").length;
  const later = forks.filter(fork => fork.lag).length, outside = forks.some(fork => fork.kind === "output");
  const readers = count => `${count} reader${count === 1 ? "" : "s"}`;
  return [
    `It has ${readers(here)} in its own step${later ? `, ${readers(later)} in the next` : ""}${outside ? ", and it is an output" : ""}.`,
    ["The readers: ", forks.map((fork, k) => [k ? ", " : "", fork.kind === "output" ? "the outside" : formula(moved(valueOf(fork.reader), fork.lag))]), "."],
    ["The sum is ", formula(...forks.flatMap((fork, k) => [...(k ? ["+"] : []), ...termFormula(fork)])), "."],
  ];
}

function readyExercise() {
  byId("line").addEventListener("input", showReading);
  byId("which").addEventListener("change", showReading);
  byId("ask").addEventListener("submit", judgeLine);
  byId("practise").addEventListener("click", startPractice);
}

follow("notation", drawExercise);
