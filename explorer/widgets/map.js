// Cases as points on a canvas. Python sends positions once; thumbnails are asked for where the pointer rests.
const maps = new WeakMap();
const HOVER_DELAY = 70; // milliseconds the pointer rests on a point before its film is asked for
const REACH = 14; // pixels around the pointer in which a point counts as meant

export default function (component) {
  const { parentElement } = component;
  let map = maps.get(parentElement);
  if (!map) {
    map = createMap(parentElement);
    maps.set(parentElement, map);
  }
  map.update(component);
  return () => {
    map.close();
    maps.delete(parentElement);
  };
}

function decode(text, Type) {
  const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  return new Type(bytes.buffer);
}

function createMap(root) {
  const stage = root.querySelector(".stage");
  const canvas = root.querySelector("canvas");
  const paint = canvas.getContext("2d");
  const tip = root.querySelector(".tip");
  const tipFilm = root.querySelector(".tip-film");
  const tipImage = tipFilm.querySelector("img");
  const tipMark = tipFilm.querySelector(".mark");
  const tipText = root.querySelector(".tip-text");
  const legend = root.querySelector(".legend");

  let component = null;
  let data = null;
  let xy = new Float32Array(0);
  let category = new Uint8Array(0);
  let hidden = new Set();
  let cards = new Map();
  let bounds = null; // [middle x, middle y, width, height] of the points
  let view = { x: 0, y: 0, zoom: 1 }; // centre in map units
  let chosen = -1; // point the tip is about
  let found = null; // point the page was opened for; marked until the page is left
  let timer = 0;
  let scheduled = false;
  const pointers = new Map();
  let pressed = null;

  function update(next) {
    component = next;
    const fresh = next.data;
    if (!data || fresh.key !== data.key) {
      xy = decode(fresh.positions, Float32Array);
      category = decode(fresh.categories, Uint8Array);
      hidden = new Set();
      if (!data || fresh.map !== data.map) {
        fit();
        cards = new Map();
        choose(-1);
      }
    }
    data = fresh;
    for (const [point, card] of Object.entries(fresh.cards)) cards.set(Number(point), card);
    canvas.setAttribute("aria-label", fresh.label);
    drawLegend();
    if (fresh.sought !== null && fresh.sought !== found) choose(fresh.sought);
    found = fresh.sought;
    if (chosen >= 0) showTip();
    refresh();
  }

  function fit() {
    let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let i = 0; i < xy.length; i += 2) {
      left = Math.min(left, xy[i]);
      right = Math.max(right, xy[i]);
      low = Math.min(low, xy[i + 1]);
      high = Math.max(high, xy[i + 1]);
    }
    if (left > right) [left, right, low, high] = [0, 1, 0, 1];
    bounds = [(left + right) / 2, (low + high) / 2, Math.max(right - left, 1e-6), Math.max(high - low, 1e-6)];
    view = { x: bounds[0], y: bounds[1], zoom: 1 };
  }

  const scale = () =>
    view.zoom * Math.min((stage.clientWidth - 56) / bounds[2], (stage.clientHeight - 56) / bounds[3]);
  const toScreen = (x, y) => {
    const s = scale();
    return [stage.clientWidth / 2 + (x - view.x) * s, stage.clientHeight / 2 - (y - view.y) * s];
  };
  const pointAt = (i) => toScreen(xy[2 * i], xy[2 * i + 1]);

  function refresh() {
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(() => {
      scheduled = false;
      draw();
    });
  }

  function dark() {
    const probe = getComputedStyle(canvas).getPropertyValue("--st-background-color").trim();
    const value = parseInt(probe.replace("#", "").slice(0, 6), 16);
    return ((value >> 16) & 255) * 0.3 + ((value >> 8) & 255) * 0.59 + (value & 255) * 0.11 < 128;
  }

  function draw() {
    if (!data || !bounds) return;
    const ratio = window.devicePixelRatio || 1;
    const [columns, rows] = [stage.clientWidth, stage.clientHeight];
    if (canvas.width !== Math.round(columns * ratio) || canvas.height !== Math.round(rows * ratio)) {
      canvas.width = Math.round(columns * ratio);
      canvas.height = Math.round(rows * ratio);
    }
    paint.setTransform(ratio, 0, 0, ratio, 0, 0);
    paint.clearRect(0, 0, columns, rows);
    const night = dark();
    const ink = night ? "#ffffff" : "#10181f";
    const count = category.length;
    const size = Math.min(9, Math.max(1.6, (count < 600 ? 4.4 : count < 5000 ? 3.2 : 2) * Math.sqrt(view.zoom)));
    const s = scale();
    const [midX, midY] = [columns / 2, rows / 2];
    // One path a colour: thousands of points in a few calls.
    for (let c = data.legend.length - 1; c >= 0; c--) {
      paint.fillStyle = night ? data.legend[c].dark : data.legend[c].light;
      paint.globalAlpha = hidden.has(c) ? 0.06 : data.query ? 0.62 : 0.86;
      paint.beginPath();
      for (let i = 0; i < count; i++) {
        if (category[i] !== c) continue;
        const x = midX + (xy[2 * i] - view.x) * s;
        const y = midY - (xy[2 * i + 1] - view.y) * s;
        if (x < -9 || y < -9 || x > columns + 9 || y > rows + 9) continue;
        if (size < 2.2) paint.rect(x - size, y - size, 2 * size, 2 * size);
        else {
          paint.moveTo(x + size, y);
          paint.arc(x, y, size, 0, 6.2832);
        }
      }
      paint.fill();
    }
    paint.globalAlpha = 1;
    if (data.query) drawQuery(size, night, ink);
    for (const point of new Set([found ?? -1, chosen])) {
      if (point < 0) continue;
      const [x, y] = pointAt(point);
      paint.strokeStyle = ink;
      paint.lineWidth = 2;
      paint.beginPath();
      paint.arc(x, y, size + (point === found ? 7 : 4), 0, 6.2832);
      paint.stroke();
      if (point === chosen) placeTip(x, y);
    }
  }

  function drawQuery(size, night, ink) {
    const [qx, qy] = toScreen(...data.query.position);
    paint.strokeStyle = ink;
    paint.globalAlpha = 0.45;
    paint.lineWidth = 1.2;
    for (const [point] of data.query.neighbours) {
      const [x, y] = pointAt(point);
      paint.beginPath();
      paint.moveTo(qx, qy);
      paint.lineTo(x, y);
      paint.stroke();
    }
    paint.globalAlpha = 1;
    paint.font = "600 11px sans-serif";
    paint.textAlign = "center";
    paint.textBaseline = "middle";
    for (const [point, rank] of [...data.query.neighbours].reverse()) {
      const [x, y] = pointAt(point);
      const colour = data.legend[category[point]];
      paint.fillStyle = night ? colour.dark : colour.light;
      paint.strokeStyle = ink;
      paint.lineWidth = 1.6;
      paint.beginPath();
      paint.arc(x, y, 9, 0, 6.2832);
      paint.fillStyle = night ? "#10181f" : "#ffffff";
      paint.fill();
      paint.strokeStyle = night ? colour.dark : colour.light;
      paint.lineWidth = 2.4;
      paint.stroke();
      paint.fillStyle = ink;
      paint.fillText(String(rank), x, y + 0.5);
    }
    star(qx, qy, 12);
    paint.fillStyle = "#ffb000";
    paint.fill();
    paint.strokeStyle = night ? "#10181f" : "#3a2700";
    paint.lineWidth = 1.6;
    paint.stroke();
  }

  function star(x, y, radius) {
    paint.beginPath();
    for (let i = 0; i < 10; i++) {
      const r = i % 2 ? radius * 0.45 : radius;
      const angle = (Math.PI * i) / 5 - Math.PI / 2;
      paint.lineTo(x + r * Math.cos(angle), y + r * Math.sin(angle));
    }
    paint.closePath();
  }

  function drawLegend() {
    const night = dark();
    legend.replaceChildren(
      ...data.legend.map((entry, number) => {
        const button = document.createElement("button");
        button.type = "button";
        button.setAttribute("aria-pressed", String(!hidden.has(number)));
        const dot = document.createElement("i");
        dot.style.background = night ? entry.dark : entry.light;
        const count = document.createElement("span");
        count.textContent = entry.count.toLocaleString("en");
        button.append(dot, entry.name, count);
        button.onclick = () => {
          if (!hidden.delete(number)) hidden.add(number);
          button.setAttribute("aria-pressed", String(!hidden.has(number)));
          refresh();
        };
        return button;
      }),
    );
  }

  function nearest(x, y, reach) {
    const s = scale();
    const mx = (x - stage.clientWidth / 2) / s + view.x;
    const my = (stage.clientHeight / 2 - y) / s + view.y;
    const marked = new Set(data.query ? data.query.neighbours.map(([point]) => point) : []);
    let best = -1;
    let least = (reach / s) ** 2;
    for (let i = 0; i < category.length; i++) {
      if (hidden.has(category[i]) && !marked.has(i)) continue;
      let d = (xy[2 * i] - mx) ** 2 + (xy[2 * i + 1] - my) ** 2;
      if (marked.has(i)) d *= 0.4; // the numbered points are larger
      if (d < least) [best, least] = [i, d];
    }
    return best;
  }

  function choose(point) {
    if (point === chosen) return;
    chosen = point;
    clearTimeout(timer);
    canvas.classList.toggle("over", point >= 0);
    if (point < 0) tip.hidden = true;
    else {
      showTip();
      if (!cards.has(point)) {
        timer = setTimeout(() => {
          component.setStateValue("hover", point);
        }, HOVER_DELAY);
      }
    }
    refresh();
  }

  function showTip() {
    const card = cards.get(chosen);
    tip.hidden = false;
    tipText.replaceChildren();
    const title = document.createElement("b");
    title.textContent = card ? card.title : data.legend[category[chosen]].name;
    tipText.append(title);
    tipFilm.classList.toggle("none", Boolean(card) && !card.image);
    tipImage.classList.toggle("waiting", !card);
    tipMark.hidden = !card || !card.synthetic;
    if (card) {
      if (card.image && tipImage.src !== card.image) tipImage.src = card.image;
      tipImage.alt = card.image ? `Chest film of case ${card.title}` : "";
      for (const line of card.lines) {
        const row = document.createElement("div");
        row.textContent = line;
        tipText.append(row);
      }
    }
  }

  function placeTip(x, y) {
    if (tip.hidden) return;
    const [w, h] = [tip.offsetWidth, tip.offsetHeight];
    // On the side away from the query, if there is room: its lines stay in sight.
    const away = data.query && toScreen(...data.query.position)[0] > x ? x - 18 - w : x + 18;
    const left = away < 4 ? x + 18 : away + w > stage.clientWidth - 4 ? x - 18 - w : away;
    tip.style.left = `${Math.max(4, Math.min(left, stage.clientWidth - w - 4))}px`;
    tip.style.top = `${Math.max(4, Math.min(y - h / 2, stage.clientHeight - h - 4))}px`;
  }

  function open(point) {
    if (point >= 0) component.setTriggerValue("open", point);
  }

  function zoomBy(factor, x = stage.clientWidth / 2, y = stage.clientHeight / 2) {
    const before = scale();
    view.zoom = Math.min(60, Math.max(0.6, view.zoom * factor));
    const after = scale();
    const [dx, dy] = [x - stage.clientWidth / 2, y - stage.clientHeight / 2];
    view.x += dx / before - dx / after;
    view.y -= dy / before - dy / after;
    refresh();
  }

  function reset() {
    fit();
    refresh();
  }

  canvas.onpointerdown = (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
    pressed = { x: event.offsetX, y: event.offsetY, moved: false, touch: event.pointerType === "touch" };
  };
  canvas.onpointermove = (event) => {
    const last = pointers.get(event.pointerId);
    const now = [event.offsetX, event.offsetY];
    if (!last) {
      choose(nearest(...now, REACH));
      return;
    }
    if (Math.hypot(now[0] - pressed.x, now[1] - pressed.y) > 5) pressed.moved = true;
    if (pointers.size === 2) {
      const other = [...pointers.entries()].find(([id]) => id !== event.pointerId)[1];
      const spread = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]);
      zoomBy(spread(now) / Math.max(1, spread(last)), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    } else if (pressed.moved) {
      view.x -= (now[0] - last[0]) / scale();
      view.y += (now[1] - last[1]) / scale();
      refresh();
    }
    pointers.set(event.pointerId, now);
  };
  canvas.onpointerup = (event) => {
    pointers.delete(event.pointerId);
    if (!pressed || pressed.moved) return;
    const point = nearest(event.offsetX, event.offsetY, pressed.touch ? 24 : REACH);
    // A finger cannot hover: its first touch shows the case, the second opens it.
    if (pressed.touch && point !== chosen) choose(point);
    else open(point);
  };
  canvas.onpointercancel = (event) => pointers.delete(event.pointerId);
  canvas.onpointerleave = (event) => {
    if (!pointers.size && event.pointerType !== "touch") choose(-1);
  };
  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      zoomBy(Math.exp(-event.deltaY * 0.0016), event.offsetX, event.offsetY);
    },
    { passive: false },
  );
  canvas.onkeydown = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (way) step(...way);
    else if (event.key === "Enter") open(chosen);
    else if (event.key === "+" || event.key === "=") zoomBy(1.3);
    else if (event.key === "-") zoomBy(1 / 1.3);
    else if (event.key === "0") reset();
    else if (event.key === "Escape") choose(-1);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };

  // From the chosen point to the nearest one in a direction; from nowhere to the one nearest the middle.
  function step(dx, dy) {
    if (chosen < 0) {
      choose(nearest(stage.clientWidth / 2, stage.clientHeight / 2, Infinity));
      return;
    }
    const [x, y] = pointAt(chosen);
    let [best, least] = [-1, Infinity];
    for (let i = 0; i < category.length; i++) {
      if (i === chosen || hidden.has(category[i])) continue;
      const [px, py] = pointAt(i);
      const along = (px - x) * dx + (py - y) * dy;
      const aside = Math.abs((px - x) * dy) + Math.abs((py - y) * dx);
      if (along <= 0.5 || aside > along * 1.2) continue;
      const cost = along + 2 * aside;
      if (cost < least) [best, least] = [i, cost];
    }
    if (best >= 0) choose(best);
  }

  root.querySelector("[data-act=in]").onclick = () => zoomBy(1.4);
  root.querySelector("[data-act=out]").onclick = () => zoomBy(1 / 1.4);
  root.querySelector("[data-act=reset]").onclick = reset;
  const resized = new ResizeObserver(refresh);
  resized.observe(stage);
  return {
    update,
    close: () => {
      clearTimeout(timer);
      resized.disconnect();
    },
  };
}
