// The graph of one step as SVG, with the numbers of the shown step in its boxes.

const SCALE = [6.2, 8.6];                        // pixels for a millimetre, across and down: numbers need the room
const x = millimetres => +(millimetres * SCALE[0]).toFixed(1);
const y = millimetres => +(millimetres * SCALE[1]).toFixed(1);
const NUMBER_SIZE = 9.6, NUMBER_LINE = 11, NUMBER_WIDTH = 5.8;

function drawPicture() {
  refill(byId("picture"), CELL.picture.map(pictureRow));
  showNumbersInPicture();
}

function pictureRow(row, index) {
  const [width, height] = row.size, [left, right] = row.frame;
  const drawing = svg("svg", {
    viewBox: `0 0 ${x(width)} ${y(height) + 14}`, width: x(width), role: "group",
    "aria-label": `The graph of one step${CELL.picture.length > 1 ? `, row ${index + 1} of ${CELL.picture.length}` : ""}. Each box is a value.`,
  });
  drawing.append(svg("rect", {class: "frame", x: x(left), y: 2, width: x(right - left), height: y(height) + 10, rx: 12}));
  for (const wire of row.wires) drawing.append(...pictureWire(wire));
  for (const [across, down, value] of row.dots) {
    drawing.append(svg("circle", {class: `dot ${colourOf(value)}`, cx: x(across), cy: y(down), r: 3, "data-value": value}));
  }
  for (const box of row.boxes) drawing.append(pictureBox(box));
  return drawing;
}

function pictureWire(wire) {
  const path = roundedPath(wire.points.map(([across, down]) => [x(across), y(down)]), wire.ends ? 6 : 0);
  const marks = {"data-keys": wire.keys?.join(" "), "data-value": wire.value};
  const classes = ["wire", colourOf(wire.value), wire.dashed && "dashed", wire.heavy && "heavy"].filter(Boolean).join(" ");
  const found = [svg("path", {class: classes, d: path, ...marks})];
  if (wire.ends) found.push(svg("path", {class: `arrow ${colourOf(wire.value)}`, d: arrowHead(wire.points), ...marks}));
  if (wire.value) found.push(svg("path", {class: "grab", d: path, ...marks, onclick: () => choose(wire.value)}));
  return found;
}

function roundedPath(points, shorter) {
  const last = points.length - 1, [a, b] = [points[last - 1], points[last]];
  const length = Math.hypot(b[0] - a[0], b[1] - a[1]) || 1;
  const end = [b[0] - (b[0] - a[0]) / length * shorter, b[1] - (b[1] - a[1]) / length * shorter];
  const all = [...points.slice(0, last), end];
  let path = `M${all[0]}`;
  for (let k = 1; k < last; k++) {
    const [p, q, r] = [all[k - 1], all[k], all[k + 1]];
    const toward = (from, to) => {
      const far = Math.hypot(to[0] - from[0], to[1] - from[1]) || 1, cut = Math.min(7, far / 2);
      return [from[0] + (to[0] - from[0]) / far * cut, from[1] + (to[1] - from[1]) / far * cut].map(v => +v.toFixed(1));
    };
    path += `L${toward(q, p)}Q${q} ${toward(q, r)}`;
  }
  return `${path}L${end.map(v => +v.toFixed(1))}`;
}

function arrowHead(points) {
  const [[ax, ay], [bx, by]] = points.slice(-2).map(([across, down]) => [x(across), y(down)]);
  const length = Math.hypot(bx - ax, by - ay) || 1, [ux, uy] = [(bx - ax) / length, (by - ay) / length];
  const back = [bx - 8 * ux, by - 8 * uy];
  return `M${bx},${by}L${(back[0] - 3.6 * uy).toFixed(1)},${(back[1] + 3.6 * ux).toFixed(1)}L${(back[0] + 3.6 * uy).toFixed(1)},${(back[1] - 3.6 * ux).toFixed(1)}Z`;
}

function pictureBox(box) {
  const [middle, centre, w, h] = box.at, [cx, cy] = [x(middle), y(centre)];
  const shown = box.shows.map(part => typeof part === "string" ? part : expression(part));
  const isMargin = box.kind === "source" || box.kind === "sink", isCircle = box.kind === "operator";
  const value = box.value, chosen = value && GRADIENT[value] ? value : null;
  const attributes = chosen ? {
    tabindex: 0, role: "button", "aria-label": inWords(valueOf(value, box.lag)),
    onclick: () => choose(value), onkeydown: event => pressed(event, () => choose(value)),
    onfocus: () => light(value),
  } : {};
  const group = svg("g", {class: `box ${box.kind} ${colourOf(value)}`, "data-value": value, "data-stage": box.stage, ...attributes});
  if (isCircle) group.append(svg("circle", {cx, cy, r: x(w) / 2}));
  else if (isMargin) group.append(svg("rect", {class: "ghost", x: cx - x(w) / 2 - 3, y: cy - 14, width: x(w) + 6, height: 28}));
  else group.append(svg("rect", {x: cx - x(w) / 2, y: cy - y(h) / 2, width: x(w), height: y(h), rx: box.kind === "call" ? 7 : 2}));
  const holdsNumbers = value && !isCircle && !isMargin;
  const wide = shown.length ? textWidth(shown) : 0, size = Math.min(16, isMargin ? 16 : 16 * (x(w) - 6) / Math.max(wide, 1));
  group.append(svgText(shown, {class: "name", "text-anchor": "middle", x: cx, y: cy + (holdsNumbers ? -6 : 5)}, Math.max(size, 9)));
  if (box.caption) {
    group.append(svgText([valueOf(value)], {class: "name caption", x: x(box.caption[0]) + 2, y: y(box.caption[1]) - 6}, 14));
  }
  if (value && !(box.kind === "sink")) {
    const top = holdsNumbers ? cy + 8 : isCircle ? cy + x(w) / 2 + 10 : cy + 20;
    for (const [kind, line] of [["forward", 0], ["backward", 1]]) {
      group.append(svg("text", {
        class: `number ${kind}`, "text-anchor": "middle", x: cx, y: top + line * NUMBER_LINE, "font-size": NUMBER_SIZE,
        "data-number": kind, "data-of": value, "data-lag": box.lag ?? 0, "data-room": holdsNumbers ? x(w) : 66,
      }));
    }
  }
  return group;
}

const textWidth = parts => parts.flatMap(part => typeof part === "string" ? [[part, false, 0]] : runs(view.printer.tree(part)))
  .reduce((sum, [text, , level]) => sum + [...text].length * (level ? 6 : 8.4), 0);

function pressed(event, act) {
  if (event.key === "Enter" || event.key === " ") { event.preventDefault(); act(); }
}

// As many entries as fit: the rest is in the lines below.
function shortNumbers(array, room) {
  const flat = entries(array), digits = flat.some(number => Math.abs(number) >= 9.995) ? 1 : 2;
  const short = flat.map(number => Math.abs(number) < 1e-13 ? "0" : Math.abs(number) < 0.005 ? "~0"
    : minus(number.toFixed(digits)).replace(/^(−?)0\./, "$1."));
  const shown = count => short.slice(0, count).join(" ") + (count < flat.length ? "…" : "");
  const most = short.reduce((count, _, k) => shown(k + 1).length * NUMBER_WIDTH <= room ? k + 1 : count, 1);
  return shown(most);
}

function showNumbersInPicture() {
  for (const node of document.querySelectorAll("#picture [data-number]")) {
    const {number, of, lag, room} = node.dataset, step = view.step + Number(lag);
    const array = number === "forward" ? view.run.value(of, step) : view.run.adjoint(of, step);
    const isKnown = array !== undefined && known(number, of, step);
    node.textContent = isKnown ? shortNumbers(array, Number(room)) : "";
    const moved = isKnown && number === "backward" && view.cut.size && distance(array, view.whole.adjoint(of, step)) > 1e-9;
    node.classList.toggle("wrong", Boolean(moved));
    node.classList.toggle("now", isKnown && isNow(number, of, step));
  }
  for (const wire of document.querySelectorAll("#picture [data-keys]")) {
    wire.classList.toggle("is-cut", wire.dataset.keys.split(" ").every(key => view.cut.has(key)));
  }
}

follow("notation", drawPicture);
follow("numbers", showNumbersInPicture);
follow("choice", showNumbersInPicture);
