// Maps over films on canvases. Opacity and threshold redraw here; Python hears of them when a slider is let go.
// The colours follow `blend` of explorer/explanation/overlay.py.
const overlays = new WeakMap();
const SETTLED = 300; // milliseconds a slider rests before Python hears of it: keys move it in many small steps

export default function (component) {
  const { parentElement } = component;
  let overlay = overlays.get(parentElement);
  if (!overlay) {
    overlay = createOverlay(parentElement);
    overlays.set(parentElement, overlay);
  }
  overlay.update(component);
  return () => {
    // Streamlit also ends a call that a later one overtook; what is drawn lives as long as its place on the page.
    if (parentElement.isConnected) return;
    overlay.close();
    overlays.delete(parentElement);
  };
}

function decode(text) {
  return Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
}

// As `number_words` of explorer/explanation/overlay.py.
function numberWords(value) {
  const plain = value === 0 || (Math.abs(value) >= 1e-3 && Math.abs(value) < 1e5);
  return (plain ? String(Number(value.toPrecision(2))) : value.toExponential(1)).replaceAll("-", "−");
}

function createOverlay(root) {
  const place = root.querySelector(".panels");
  const opacity = root.querySelector("input[name=opacity]");
  const threshold = root.querySelector("input[name=threshold]");
  const bar = root.querySelector(".colours");
  const ticks = root.querySelector(".ticks");
  const reading = root.querySelector(".reading");
  let component = null;
  let data = null;
  let panels = [];
  let table = null;
  let scheduled = false;
  let timer = 0;

  function update(next) {
    component = next;
    const fresh = next.data;
    if (!data) {
      opacity.value = Math.round(100 * fresh.opacity);
      threshold.value = Math.round(100 * fresh.threshold);
    }
    if (data && data.key === fresh.key) return;
    data = fresh;
    table = decode(fresh.table);
    panels = fresh.panels.map(createPanel);
    place.replaceChildren(...panels.flatMap((panel) => [panel.plain.figure, panel.laid.figure]));
    ticks.replaceChildren(
      ...fresh.ticks.map(([share, text]) => {
        const tick = document.createElement("span");
        tick.textContent = text;
        tick.style.left = `${100 * (fresh.signed ? (share + 1) / 2 : share)}%`;
        return tick;
      }),
    );
    bar.setAttribute("aria-label", `Colours from ${fresh.ticks[0][1]} to ${fresh.ticks.at(-1)[1]}, ${fresh.unit}`);
    reading.textContent = fresh.hint;
    refresh();
  }

  function createPanel(one) {
    const panel = { ...one, levels: decode(one.levels), shares: null, grey: null };
    panel.plain = createFigure(panel, one.title, one.alt);
    panel.laid = createFigure(panel, one.laid, `${one.alt}, with the map laid over it`);
    const image = new Image();
    image.onload = () => {
      for (const { canvas } of [panel.plain, panel.laid]) {
        canvas.width = image.naturalWidth;
        canvas.height = image.naturalHeight;
      }
      const context = panel.plain.canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(image, 0, 0);
      panel.grey = context.getImageData(0, 0, image.naturalWidth, image.naturalHeight).data;
      panel.shares = sharesOnFilm(panel, image.naturalWidth, image.naturalHeight);
      refresh();
    };
    image.src = one.film;
    return panel;
  }

  function createFigure(panel, title, alt) {
    const figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    caption.textContent = title;
    const film = document.createElement("div");
    film.className = "film";
    film.style.setProperty("--shape", `${panel.columns} / ${panel.rows}`);
    const canvas = document.createElement("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", alt);
    const ring = document.createElement("span");
    ring.className = "ring";
    ring.hidden = true;
    film.append(canvas, ring);
    if (panel.synthetic) {
      const mark = document.createElement("span");
      mark.className = "mark";
      mark.textContent = "synthetic";
      film.append(mark);
    }
    figure.append(caption, film);
    canvas.onpointermove = (event) => point(panel, event.offsetX / canvas.clientWidth, event.offsetY / canvas.clientHeight);
    canvas.onpointerleave = () => {
      panel.plain.ring.hidden = panel.laid.ring.hidden = true;
      reading.textContent = data.hint;
    };
    return { figure, canvas, ring };
  }

  // Shares of the scale at every pixel of the film as drawn, NaN outside the box; between the map's pixels linear.
  function sharesOnFilm(panel, columns, rows) {
    const [top, left, bottom, right] = panel.box; // shares of the film's height and width
    const [mapRows, mapColumns] = panel.size;
    const share = new Float32Array(256);
    for (let level = 0; level < 256; level++) share[level] = data.signed ? (level - 128) / 127 : level / 255;
    const across = axis(columns, left, right, mapColumns);
    const down = axis(rows, top, bottom, mapRows);
    const shares = new Float32Array(rows * columns).fill(NaN);
    for (let y = 0; y < rows; y++) {
      if (down.low[y] < 0) continue;
      const upper = down.low[y] * mapColumns;
      const lower = down.high[y] * mapColumns;
      for (let x = 0; x < columns; x++) {
        const l = across.low[x];
        if (l < 0) continue;
        const h = across.high[x];
        const above = share[panel.levels[upper + l]] * (1 - across.part[x]) + share[panel.levels[upper + h]] * across.part[x];
        const below = share[panel.levels[lower + l]] * (1 - across.part[x]) + share[panel.levels[lower + h]] * across.part[x];
        shares[y * columns + x] = above * (1 - down.part[y]) + below * down.part[y];
      }
    }
    return shares;
  }

  function axis(count, from, to, cells) {
    const low = new Int32Array(count).fill(-1);
    const high = new Int32Array(count);
    const part = new Float32Array(count);
    for (let i = 0; i < count; i++) {
      const at = (i + 0.5) / count;
      if (at < from || at >= to) continue;
      const cell = Math.min(cells - 1, Math.max(0, ((at - from) / (to - from)) * cells - 0.5));
      low[i] = Math.floor(cell);
      high[i] = Math.min(cells - 1, low[i] + 1);
      part[i] = cell - low[i];
    }
    return { low, high, part };
  }

  function refresh() {
    opacity.nextElementSibling.textContent = `${opacity.value} %`;
    threshold.nextElementSibling.textContent = `${threshold.value} %`;
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(() => {
      scheduled = false;
      for (const panel of panels) if (panel.shares) draw(panel);
      drawBar();
    });
  }

  function draw(panel) {
    const { width, height } = panel.laid.canvas;
    const context = panel.laid.canvas.getContext("2d");
    const out = context.createImageData(width, height);
    const pixels = out.data;
    const least = Math.max(threshold.value / 100, 1e-6);
    const most = opacity.value / 100;
    for (let i = 0; i < panel.shares.length; i++) {
      const share = panel.shares[i];
      const strength = Math.abs(share);
      const alpha = strength >= least ? most * strength : 0; // NaN is not
      const entry = alpha && 3 * Math.round(255 * (data.signed ? (share + 1) / 2 : share));
      for (let c = 0; c < 3; c++) {
        const grey = panel.grey[4 * i + c];
        pixels[4 * i + c] = alpha ? grey * (1 - alpha) + table[entry + c] * alpha : grey;
      }
      pixels[4 * i + 3] = 255;
    }
    context.putImageData(out, 0, 0);
  }

  // Nothing is drawn over the film below the threshold, and the bar is grey there.
  function drawBar() {
    const context = bar.getContext("2d");
    const line = context.createImageData(256, 1);
    for (let i = 0; i < 256; i++) {
      const share = data.signed ? (2 * i) / 255 - 1 : i / 255;
      const shown = Math.abs(share) >= threshold.value / 100;
      for (let c = 0; c < 3; c++) line.data[4 * i + c] = shown ? table[3 * i + c] : 128;
      line.data[4 * i + 3] = shown ? 255 : 90;
    }
    context.putImageData(line, 0, 0);
  }

  function point(panel, x, y) {
    if (!panel.shares || x < 0 || y < 0 || x >= 1 || y >= 1) return;
    for (const { ring } of [panel.plain, panel.laid]) {
      ring.hidden = false;
      ring.style.left = `${100 * x}%`;
      ring.style.top = `${100 * y}%`;
    }
    const { width, height } = panel.laid.canvas;
    const share = panel.shares[Math.floor(y * height) * width + Math.floor(x * width)];
    reading.textContent = Number.isNaN(share)
      ? "Here the network saw nothing: a uniform border was trimmed."
      : `${numberWords(share * data.limit)} ${data.unit}, ${Math.round(100 * share)} % of the scale`;
  }

  for (const slider of [opacity, threshold]) {
    slider.oninput = refresh;
    slider.onchange = () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        component.setStateValue("view", { opacity: opacity.value / 100, threshold: threshold.value / 100 });
      }, SETTLED);
    };
  }
  return { update, close: () => clearTimeout(timer) };
}
