// One map: its canvases, its camera and what a pointer does on it.
const REACH = 14; // CSS pixels around the pointer in which a point counts as meant
const FINGER_REACH = 24;
const STILL = 5; // CSS pixels a pointer may wander and still have clicked

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * @param map what all panels share: points(), mode(), choose(point, panel), open(point), select(mask test, event), …
 * @param title heading, empty where there is one panel
 */
function createPanel(map, title, label) {
  const element = document.createElement("div");
  element.className = "panel";
  element.innerHTML = `<h2></h2><div class="stage"><canvas class="points"></canvas>
    <canvas class="over" tabindex="0" role="application"></canvas><div class="waiting">Loading the map …</div>
    <div class="tip" role="status" hidden><div class="tip-film"><img alt=""><span class="mark" hidden>synthetic</span></div>
    <div class="tip-text"></div></div><div class="tools" role="group" aria-label="Zoom">
    <button type="button" data-act="in" aria-label="Zoom in">+</button>
    <button type="button" data-act="out" aria-label="Zoom out">−</button>
    <button type="button" data-act="reset" aria-label="Show the whole map">⤢</button></div></div>`;
  const stage = element.querySelector(".stage");
  const ground = element.querySelector(".points");
  const canvas = element.querySelector(".over");
  const tip = element.querySelector(".tip");
  element.querySelector("h2").textContent = title;
  element.querySelector("h2").hidden = !title;
  canvas.setAttribute("aria-label", label);

  let positions = null;
  let camera = null;
  let screen = new Float32Array(0);
  let depth = null;
  let stale = true; // the points must be drawn again, not only what lies over them
  let scheduled = false;
  const pointers = new Map();
  let pressed = null;
  let pointed = true; // the pointer, not a key, said last which point is meant
  let outline = null; // of a box or lasso being drawn, [x, y] pairs

  const size = () => [stage.clientWidth, stage.clientHeight];

  function place(array, dims) {
    if (array === positions) return;
    positions = array;
    camera = createCamera(positions, dims);
    screen = new Float32Array((2 * positions.length) / dims);
    depth = dims === 3 ? new Uint8Array(positions.length / 3) : null;
    element.querySelector(".waiting").hidden = true;
    refresh();
  }

  function refresh(points = true) {
    stale ||= points;
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(() => {
      scheduled = false;
      draw();
    });
  }

  function fitCanvas(one, ratio) {
    const [width, height] = size().map((side) => Math.round(side * ratio));
    if (one.width !== width || one.height !== height) [one.width, one.height] = [width, height];
  }

  function draw() {
    if (!positions || !stage.clientWidth) return;
    const ratio = window.devicePixelRatio || 1;
    if (stale) {
      stale = false;
      fitCanvas(ground, ratio);
      camera.project(positions, ...size(), screen, depth);
      drawPoints(ratio);
    }
    fitCanvas(canvas, ratio);
    const paint = canvas.getContext("2d");
    paint.setTransform(ratio, 0, 0, ratio, 0, 0);
    paint.clearRect(0, 0, ...size());
    drawOver(paint);
  }

  function drawPoints(ratio) {
    const { width, height } = ground;
    const paint = ground.getContext("2d", { alpha: false });
    const image = paint.createImageData(width, height);
    const points = map.points();
    const look = map.look(camera.zoom(), ratio, Math.min(...size()));
    const order = depth ? sortByKey(map.depthKeys(depth), 512) : points.order;
    rasterise({ pixels: new Uint32Array(image.data.buffer), width, height }, { ...points, screen, order }, depth, look);
    paint.putImageData(image, 0, 0);
  }

  const at = (point) => [screen[2 * point], screen[2 * point + 1]];

  function placeOf(position) {
    const found = new Float32Array(2);
    camera.project(position, ...size(), found, null);
    return found;
  }

  function drawOver(paint) {
    const look = map.look(camera.zoom(), 1, Math.min(...size()));
    const query = map.query(panel);
    if (query) drawQuery(paint, query, look);
    const [chosen, sought] = map.marked();
    for (const point of new Set([sought, chosen])) {
      if (point < 0) continue;
      const [x, y] = at(point);
      paint.strokeStyle = look.ink;
      paint.lineWidth = 2;
      paint.beginPath();
      paint.arc(x, y, look.size + (point === sought ? 7 : 4), 0, 6.2832);
      paint.stroke();
      if (point === chosen) placeTip(x, y, query);
    }
    if (outline) {
      paint.beginPath();
      for (const corner of outline) paint.lineTo(...corner);
      paint.closePath();
      paint.fillStyle = look.night ? "rgb(255 255 255 / 10%)" : "rgb(0 0 0 / 7%)";
      paint.fill();
      paint.strokeStyle = look.ink;
      paint.lineWidth = 1.5;
      paint.setLineDash([5, 4]);
      paint.stroke();
      paint.setLineDash([]);
    }
  }

  function drawQuery(paint, query, look) {
    const [qx, qy] = placeOf(query.position);
    paint.strokeStyle = look.ink;
    paint.globalAlpha = 0.45;
    paint.lineWidth = 1.2;
    for (const [point] of query.neighbours) {
      paint.beginPath();
      paint.moveTo(qx, qy);
      paint.lineTo(...at(point));
      paint.stroke();
    }
    paint.globalAlpha = 1;
    paint.font = "600 11px sans-serif";
    paint.textAlign = "center";
    paint.textBaseline = "middle";
    for (const [point, rank] of [...query.neighbours].reverse()) {
      const [x, y] = at(point);
      paint.beginPath();
      paint.arc(x, y, 9, 0, 6.2832);
      paint.fillStyle = look.night ? "#10181f" : "#ffffff";
      paint.fill();
      paint.strokeStyle = map.colour(point);
      paint.lineWidth = 2.4;
      paint.stroke();
      paint.fillStyle = look.ink;
      paint.fillText(String(rank), x, y + 0.5);
    }
    paint.beginPath();
    for (let i = 0; i < 10; i++) {
      const r = i % 2 ? 5.4 : 12;
      const angle = (Math.PI * i) / 5 - Math.PI / 2;
      paint.lineTo(qx + r * Math.cos(angle), qy + r * Math.sin(angle));
    }
    paint.closePath();
    paint.fillStyle = "#ffb000";
    paint.fill();
    paint.strokeStyle = look.night ? "#10181f" : "#3a2700";
    paint.lineWidth = 1.6;
    paint.stroke();
  }

  function placeTip(x, y, query) {
    if (tip.hidden) return;
    const [w, h] = [tip.offsetWidth, tip.offsetHeight];
    const [width, height] = size();
    // On the side away from the query, if there is room: its lines stay in sight.
    const away = query && placeOf(query.position)[0] > x ? x - 18 - w : x + 18;
    const left = away < 4 ? x + 18 : away + w > width - 4 ? x - 18 - w : away;
    tip.style.left = `${Math.max(4, Math.min(left, width - w - 4))}px`;
    tip.style.top = `${Math.max(4, Math.min(y - h / 2, height - h - 4))}px`;
  }

  function showTip(card, waiting) {
    tip.hidden = false;
    const [film, image, text] = [".tip-film", "img", ".tip-text"].map((name) => tip.querySelector(name));
    text.replaceChildren();
    const heading = document.createElement("b");
    heading.textContent = card ? card.title : waiting;
    text.append(heading);
    film.classList.toggle("none", Boolean(card) && !card.image);
    image.classList.toggle("blank", !card);
    tip.querySelector(".mark").hidden = !card || !card.synthetic;
    if (!card) return;
    if (card.image && image.src !== card.image) image.src = card.image;
    image.alt = card.image ? `Chest film of case ${card.title}` : "";
    for (const line of card.lines) {
      const row = document.createElement("div");
      row.textContent = line;
      text.append(row);
    }
  }

  function nearest(x, y, reach) {
    const { level } = map.points();
    const query = map.query(panel);
    let best = -1;
    let least = reach * reach;
    for (let i = 0, k = 0; i < level.length; i++, k += 2) {
      if (!level[i]) continue;
      const dx = screen[k] - x;
      const dy = screen[k + 1] - y;
      const d = dx * dx + dy * dy;
      if (d < least) [best, least] = [i, d];
    }
    for (const [point] of query ? query.neighbours : []) {
      const d = 0.4 * ((at(point)[0] - x) ** 2 + (at(point)[1] - y) ** 2); // the numbered points are larger
      if (d < least) [best, least] = [point, d];
    }
    return best;
  }

  // From the chosen point to the nearest one in a direction; from nowhere to the one nearest the middle.
  function step(dx, dy) {
    pointed = false;
    const [chosen] = map.marked();
    if (chosen < 0) {
      map.choose(nearest(stage.clientWidth / 2, stage.clientHeight / 2, Infinity), panel);
      return;
    }
    const { level } = map.points();
    const [x, y] = at(chosen);
    let [best, least] = [-1, Infinity];
    for (let i = 0; i < level.length; i++) {
      if (i === chosen || !level[i]) continue;
      const [px, py] = [screen[2 * i] - x, screen[2 * i + 1] - y];
      const along = px * dx + py * dy;
      const aside = Math.abs(px * dy) + Math.abs(py * dx);
      if (along <= 0.5 || aside > along * 1.2) continue;
      const cost = along + 2 * aside;
      if (cost < least) [best, least] = [i, cost];
    }
    if (best >= 0) map.choose(best, panel);
  }

  function zoomBy(factor, x = stage.clientWidth / 2, y = stage.clientHeight / 2) {
    camera.zoomAt(factor, x - stage.clientWidth / 2, y - stage.clientHeight / 2);
    refresh();
  }

  function reset() {
    camera.reset();
    refresh();
  }

  /** Which points lie inside the outline: it is filled on a canvas, and each point's pixel looked up. */
  function inside() {
    const [width, height] = size();
    const mask = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    mask.beginPath();
    for (const corner of outline) mask.lineTo(...corner);
    mask.fill();
    const filled = mask.getImageData(0, 0, width, height).data;
    const { level } = map.points();
    const found = new Uint8Array(level.length);
    for (let i = 0; i < level.length; i++) {
      const [x, y] = [Math.floor(screen[2 * i]), Math.floor(screen[2 * i + 1])];
      if (level[i] && x >= 0 && y >= 0 && x < width && y < height) found[i] = filled[4 * (y * width + x) + 3] > 127;
    }
    return found;
  }

  function drawOutline(x, y) {
    map.choose(-1, panel);
    if (map.mode() === "box") {
      const { x: left, y: top } = pressed;
      outline = [
        [left, top],
        [x, top],
        [x, y],
        [left, y],
      ];
    } else (outline ??= [[pressed.x, pressed.y]]).push([x, y]);
    refresh(false);
  }

  canvas.onpointerdown = (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
    pressed = { x: event.offsetX, y: event.offsetY, moved: pointers.size > 1, touch: event.pointerType === "touch" };
    if (pointers.size > 1) outline = null; // a second finger: it was not meant as a selection
  };
  canvas.onpointermove = (event) => {
    if (!camera) return;
    const last = pointers.get(event.pointerId);
    const now = [event.offsetX, event.offsetY];
    if (!last) {
      // When the page moves beneath a pointer at rest, the browser reports a move all the same.
      if (!pointed && !event.movementX && !event.movementY) return;
      pointed = true;
      map.choose(nearest(...now, REACH), panel);
      return;
    }
    if (Math.hypot(now[0] - pressed.x, now[1] - pressed.y) > STILL) pressed.moved = true;
    const [dx, dy] = [now[0] - last[0], now[1] - last[1]];
    pointers.set(event.pointerId, now);
    if (pointers.size === 2) {
      const other = [...pointers.entries()].find(([id]) => id !== event.pointerId)[1];
      const spread = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]);
      camera.move(dx / 2, dy / 2);
      zoomBy(spread(now) / Math.max(1, spread(last)), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    } else if (!pressed.moved) return;
    else if (map.mode() !== "move") drawOutline(...now);
    else {
      if (camera.dims === 3 && !event.shiftKey) camera.turn(dx, dy);
      else camera.move(dx, dy);
      refresh();
    }
  };
  canvas.onpointerup = (event) => {
    pointers.delete(event.pointerId);
    if (!pressed || !camera) return;
    if (outline) {
      const found = inside();
      outline = null;
      map.select(found, event.shiftKey ? "add" : event.altKey ? "take" : "set");
      return;
    }
    if (pressed.moved) return;
    const point = nearest(event.offsetX, event.offsetY, pressed.touch ? FINGER_REACH : REACH);
    // A finger cannot hover: its first touch shows the case, the second opens it.
    if (pressed.touch && !map.isChosen(point, panel)) map.choose(point, panel);
    else map.open(point);
  };
  canvas.onpointercancel = (event) => {
    pointers.delete(event.pointerId);
    outline = null;
    refresh(false);
  };
  canvas.onpointerleave = (event) => {
    if (pointed && !pointers.size && event.pointerType !== "touch") map.choose(-1, panel);
  };
  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      if (camera) zoomBy(Math.exp(-event.deltaY * 0.0016), event.offsetX, event.offsetY);
    },
    { passive: false },
  );
  canvas.onkeydown = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !camera) return;
    const way = ARROWS[event.key];
    if (way && event.shiftKey) {
      if (camera.dims === 3) camera.turn(18 * way[0], 18 * way[1]);
      else camera.move(-40 * way[0], -40 * way[1]);
      refresh();
    } else if (way) step(...way);
    else if (event.key === "Enter") map.open(map.marked()[0]);
    else if (event.key === " ") map.toggle(map.marked()[0]);
    else if (event.key === "+" || event.key === "=") zoomBy(1.3);
    else if (event.key === "-") zoomBy(1 / 1.3);
    else if (event.key === "0") reset();
    else if (event.key === "Escape") map.choose(-1, panel);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  element.querySelector("[data-act=in]").onclick = () => camera && zoomBy(1.4);
  element.querySelector("[data-act=out]").onclick = () => camera && zoomBy(1 / 1.4);
  element.querySelector("[data-act=reset]").onclick = () => camera && reset();
  const resized = new ResizeObserver(() => refresh());
  resized.observe(stage);
  const panel = {
    element,
    place,
    refresh,
    showTip,
    hideTip: () => (tip.hidden = true),
    aim: (aimed) => canvas.classList.toggle("aimed", aimed),
    relabel: (text) => canvas.setAttribute("aria-label", text),
    ready: () => Boolean(positions),
    close: () => resized.disconnect(),
  };
  return panel;
}
