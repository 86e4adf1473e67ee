// A film on a canvas: zoom, move, window and level, invert. Grey values are those of the PNG, 0 to 255.
const viewers = new WeakMap();

export default function (component) {
  const { data, parentElement } = component;
  let viewer = viewers.get(parentElement);
  if (!viewer) {
    viewer = createViewer(parentElement);
    viewers.set(parentElement, viewer);
  }
  viewer.show(data);
  return () => {
    // Streamlit also ends a call that a later one overtook; what is drawn lives as long as its place on the page.
    if (parentElement.isConnected) return;
    viewer.close();
    viewers.delete(parentElement);
  };
}

function createViewer(root) {
  const stage = root.querySelector(".stage");
  const canvas = root.querySelector("canvas");
  const paint = canvas.getContext("2d", { alpha: false });
  const mark = root.querySelector(".mark");
  const state = root.querySelector(".state");
  const level = root.querySelector("input[name=level]");
  const width = root.querySelector("input[name=width]");
  const invertButton = root.querySelector("[data-act=invert]");
  const tools = [...root.querySelectorAll("[data-tool]")];

  const legend = root.querySelector(".legend");

  const film = document.createElement("canvas");
  let grey = null; // one byte a pixel, as decoded
  let shown = null; // address of the film on show
  let tool = "pan";
  let inverted = false;
  let zoom = 1; // 1: the whole film fits
  let centre = [0.5, 0.5]; // of the view, as share of the film
  let scheduled = false;
  let lines = []; // outlines, points as shares of the film
  let stale = true; // whether the grey values must be mapped again
  const pointers = new Map();

  function show(data) {
    mark.hidden = !data.synthetic;
    canvas.setAttribute("aria-label", data.alt);
    lines = data.lines;
    tellLines();
    if (data.image === shown) {
      refresh(false);
      return;
    }
    shown = data.image;
    const image = new Image();
    image.onload = () => {
      if (data.image !== shown) return;
      film.width = image.naturalWidth;
      film.height = image.naturalHeight;
      const context = film.getContext("2d", { willReadFrequently: true });
      context.drawImage(image, 0, 0);
      const rgba = context.getImageData(0, 0, film.width, film.height).data;
      grey = new Uint8Array(film.width * film.height);
      for (let i = 0; i < grey.length; i++) grey[i] = rgba[4 * i];
      reset();
    };
    image.src = data.image;
  }

  function tellLines() {
    legend.hidden = lines.length === 0;
    const entries = lines.map((line) => {
      const entry = document.createElement("li");
      const swatch = document.createElement("span");
      swatch.className = "swatch";
      swatch.style.borderTop = `3px ${line.broken ? "dashed" : "solid"} ${line.colour}`;
      entry.append(swatch, line.name);
      return entry;
    });
    legend.replaceChildren(...entries);
  }

  function drawLines(s) {
    const left = stage.clientWidth / 2 - centre[0] * film.width * s;
    const top = stage.clientHeight / 2 - centre[1] * film.height * s;
    for (const line of lines) {
      const path = new Path2D();
      for (const [x, y] of line.points) path.lineTo(left + x * film.width * s, top + y * film.height * s);
      path.closePath();
      paint.lineJoin = "round";
      // A dark rim: the line is seen on an inverted film as well.
      paint.setLineDash([]);
      paint.lineWidth = 4;
      paint.strokeStyle = "rgb(0 0 0 / 60%)";
      paint.stroke(path);
      paint.setLineDash(line.broken ? [7, 4] : []);
      paint.lineWidth = 2;
      paint.strokeStyle = line.colour;
      paint.stroke(path);
    }
  }

  function reset() {
    zoom = 1;
    centre = [0.5, 0.5];
    inverted = false;
    level.value = 50;
    width.value = 100;
    invertButton.setAttribute("aria-pressed", "false");
    refresh(true);
  }

  function refresh(values) {
    stale = stale || values;
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(() => {
      scheduled = false;
      draw();
    });
  }

  function mapGrey() {
    const low = 2.55 * (level.value - width.value / 2);
    const span = 2.55 * width.value;
    const table = new Uint8Array(256);
    for (let v = 0; v < 256; v++) {
      const share = Math.min(1, Math.max(0, (v - low) / span));
      table[v] = Math.round(255 * (inverted ? 1 - share : share));
    }
    const context = film.getContext("2d");
    const mapped = context.createImageData(film.width, film.height);
    const words = new Uint32Array(mapped.data.buffer);
    for (let i = 0; i < grey.length; i++) {
      const v = table[grey[i]];
      words[i] = 0xff000000 | (v << 16) | (v << 8) | v;
    }
    context.putImageData(mapped, 0, 0);
    stale = false;
  }

  function scale() {
    return zoom * Math.min(stage.clientWidth / film.width, stage.clientHeight / film.height);
  }

  function draw() {
    const ratio = window.devicePixelRatio || 1;
    const columns = stage.clientWidth;
    const rows = stage.clientHeight;
    if (canvas.width !== Math.round(columns * ratio) || canvas.height !== Math.round(rows * ratio)) {
      canvas.width = Math.round(columns * ratio);
      canvas.height = Math.round(rows * ratio);
    }
    paint.setTransform(ratio, 0, 0, ratio, 0, 0);
    paint.fillStyle = "#000";
    paint.fillRect(0, 0, columns, rows);
    if (!grey) return;
    if (stale) mapGrey();
    const s = scale();
    paint.imageSmoothingQuality = "high";
    paint.imageSmoothingEnabled = s * ratio < 4;
    paint.drawImage(
      film,
      columns / 2 - centre[0] * film.width * s,
      rows / 2 - centre[1] * film.height * s,
      film.width * s,
      film.height * s,
    );
    drawLines(s);
    state.textContent = `${Math.round(100 * zoom)} % · level ${level.value} · width ${width.value}`;
    // A film that fits leaves vertical swipes to the page.
    canvas.style.touchAction = zoom > 1 || tool === "window" ? "none" : "pan-y";
  }

  function move(dx, dy) {
    const s = scale();
    centre[0] = Math.min(1, Math.max(0, centre[0] - dx / (film.width * s)));
    centre[1] = Math.min(1, Math.max(0, centre[1] - dy / (film.height * s)));
    if (zoom === 1) centre = [0.5, 0.5];
    refresh(false);
  }

  function zoomBy(factor, x, y) {
    if (!grey) return;
    const before = scale();
    zoom = Math.min(16, Math.max(1, zoom * factor));
    const after = scale();
    if (x !== undefined) {
      const dx = x - stage.clientWidth / 2;
      const dy = y - stage.clientHeight / 2;
      centre[0] += (dx / before - dx / after) / film.width;
      centre[1] += (dy / before - dy / after) / film.height;
    }
    move(0, 0);
  }

  function windowBy(dx, dy) {
    width.value = Math.round(Number(width.value) + dx * 0.4);
    level.value = Math.round(Number(level.value) + dy * 0.25);
    refresh(true);
  }

  function invert() {
    inverted = !inverted;
    invertButton.setAttribute("aria-pressed", String(inverted));
    refresh(true);
  }

  canvas.onpointerdown = (event) => {
    canvas.focus();
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
    canvas.classList.add("dragging");
    if (event.button === 2 || event.shiftKey) canvas.dataset.once = "window";
  };
  canvas.onpointermove = (event) => {
    const last = pointers.get(event.pointerId);
    if (!last) return;
    const now = [event.offsetX, event.offsetY];
    if (pointers.size === 2) {
      const other = [...pointers.entries()].find(([id]) => id !== event.pointerId)[1];
      const spread = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]);
      zoomBy(spread(now) / Math.max(1, spread(last)), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    } else if ((canvas.dataset.once ?? tool) === "window") {
      windowBy(now[0] - last[0], now[1] - last[1]);
    } else {
      move(now[0] - last[0], now[1] - last[1]);
    }
    pointers.set(event.pointerId, now);
  };
  canvas.onpointerup = canvas.onpointercancel = (event) => {
    pointers.delete(event.pointerId);
    canvas.classList.remove("dragging");
    delete canvas.dataset.once;
  };
  canvas.oncontextmenu = (event) => event.preventDefault();
  canvas.ondblclick = (event) => zoomBy(zoom >= 4 ? 1 / zoom : 2, event.offsetX, event.offsetY);
  canvas.addEventListener(
    "wheel",
    (event) => {
      // Until it is clicked the film lets the page scroll.
      if (root.activeElement !== canvas && document.activeElement !== canvas) return;
      event.preventDefault();
      zoomBy(Math.exp(-event.deltaY * 0.0015), event.offsetX, event.offsetY);
    },
    { passive: false },
  );
  canvas.onkeydown = (event) => {
    const steps = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (steps[event.key] && event.shiftKey) windowBy(-steps[event.key][0] / 12, -steps[event.key][1] / 12);
    else if (steps[event.key]) move(...steps[event.key]);
    else if (event.key === "+" || event.key === "=") zoomBy(1.25);
    else if (event.key === "-") zoomBy(0.8);
    else if (event.key === "i") invert();
    else if (event.key === "0") reset();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  level.oninput = width.oninput = () => refresh(true);
  for (const button of tools) {
    button.onclick = () => {
      tool = button.dataset.tool;
      for (const other of tools) other.setAttribute("aria-pressed", String(other === button));
      canvas.classList.toggle("window", tool === "window");
      refresh(false);
    };
  }
  root.querySelector("[data-act=in]").onclick = () => zoomBy(1.25);
  root.querySelector("[data-act=out]").onclick = () => zoomBy(0.8);
  root.querySelector("[data-act=reset]").onclick = reset;
  invertButton.onclick = invert;

  const resized = new ResizeObserver(() => refresh(false));
  resized.observe(stage);
  return { show, close: () => resized.disconnect() };
}
