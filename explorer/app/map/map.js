// Cases as points on one map or on two that show the same cases. Python sends places and categories once, as bytes
// (bytes.js); films are asked for where the pointer rests.
const HOVER_DELAY = 70; // milliseconds the pointer rests on a point before its film is asked for
const HIDDEN = 0; // levels of a point: of a colour that is switched off, outside the selection, as it is, chosen
const FAINT = 1;
const PLAIN = 2;
const CHOSEN = 3;

const maps = new WeakMap();

export default function (component) {
  const { parentElement } = component;
  if (!maps.has(parentElement)) maps.set(parentElement, createMap(parentElement));
  const map = maps.get(parentElement);
  map.update(component);
  return () => {
    // Streamlit also ends a call that a later one overtook; what is drawn lives as long as its place on the page.
    if (parentElement.isConnected) return;
    map.close();
    maps.delete(parentElement);
  };
}

function toBits(selected) {
  const bytes = new Uint8Array(Math.ceil(selected.length / 8));
  for (let i = 0; i < selected.length; i++) if (selected[i]) bytes[i >> 3] |= 128 >> (i & 7);
  let text = "";
  for (let start = 0; start < bytes.length; start += 8192) text += String.fromCharCode(...bytes.subarray(start, start + 8192));
  return btoa(text);
}

function fromBits(text, count) {
  const bytes = atob(text);
  return Uint8Array.from({ length: count }, (_, i) => (bytes.charCodeAt(i >> 3) >> (7 - (i & 7))) & 1);
}

function createMap(root) {
  const shelf = (globalThis[Symbol.for("cxr-map-bytes")] ??= { arrays: new Map(), waiting: new Set() });
  const [element, stages, legend, shapes, clear, told] = [".map", ".stages", ".legend", ".shapes", ".clear", ".chosen"].map(
    (name) => root.querySelector(name),
  );
  const modes = [...root.querySelectorAll("[data-mode]")];

  let component = null;
  let data = null;
  let shown = {}; // names of the arrays drawn
  let panels = [];
  let category = new Uint8Array(0);
  let shape = new Uint8Array(0);
  let level = new Uint8Array(0);
  let order = new Uint32Array(0);
  let selected = null; // Uint8Array, or null where nothing is chosen
  let hidden = new Set();
  let cards = new Map();
  let mode = "move";
  let chosen = -1; // point the tip is about
  let chosenIn = null; // panel it was chosen in
  let sought = -1; // point the page was opened for; marked until the page is left
  let timer = 0;

  function update(next) {
    component = next;
    data = next.data;
    arrive();
  }

  /** Draw what Python described, once all its arrays are there. */
  function arrive() {
    if (!data) return;
    const wanted = [...data.panels.map((panel) => panel.positions), data.marks];
    if (!wanted.every((name) => shelf.arrays.has(name))) return;
    if (data.map !== shown.map) {
      for (const panel of panels) panel.close();
      panels = data.panels.map((panel) => createPanel(shared, panel.title, panel.label));
      stages.replaceChildren(...panels.map((panel) => panel.element));
      stages.classList.toggle("two", panels.length > 1);
      cards = new Map();
      [chosen, chosenIn, sought, shown] = [-1, null, -1, { map: data.map }];
      selected = null;
    }
    data.panels.forEach((panel, number) => {
      if (shown[number] !== panel.positions)
        panels[number].place(new Float32Array(shelf.arrays.get(panel.positions).buffer), panel.dims);
      shown[number] = panel.positions;
      panels[number].relabel(panel.label);
    });
    if (shown.marks !== data.marks) {
      const marks = new Uint8Array(shelf.arrays.get(data.marks).buffer);
      const count = marks.length / 2;
      if (shown.colour !== data.colour) hidden = new Set();
      [category, shape] = [marks.subarray(0, count), marks.subarray(count)];
      if (level.length !== count) selected = null;
      if (!selected && data.selected) selected = fromBits(data.selected, count);
      [shown.marks, shown.colour] = [data.marks, data.colour];
      sortPoints();
    }
    for (const [point, card] of Object.entries(data.cards)) cards.set(Number(point), card);
    drawLegend();
    tellSelection();
    if (data.sought !== null && data.sought !== sought) choose(data.sought, panels[0]);
    sought = data.sought ?? -1;
    if (chosen >= 0) showTip();
    for (const panel of panels) panel.refresh(false);
  }

  /** Levels and the order of drawing: what is not of interest first, rare colours last, chosen cases on top. */
  function sortPoints() {
    const kinds = data.legend.length;
    const rank = new Uint8Array(kinds);
    data.legend
      .map((entry, number) => [entry.quiet ? 1 : 0, entry.count, number])
      .sort((a, b) => b[0] - a[0] || b[1] - a[1])
      .forEach(([, , number], place) => (rank[number] = place));
    level = new Uint8Array(category.length);
    const keys = new Uint16Array(category.length);
    for (let i = 0; i < level.length; i++) {
      level[i] = hidden.has(category[i]) ? HIDDEN : !selected ? PLAIN : selected[i] ? CHOSEN : FAINT;
      keys[i] = level[i] * kinds + rank[category[i]];
    }
    order = sortByKey(keys, 4 * kinds);
    for (const panel of panels) panel.refresh();
  }

  const isDark = () => {
    const [red, green, blue] = rgb(getComputedStyle(root.querySelector(".map")).getPropertyValue("--st-background-color").trim());
    return red * 0.3 + green * 0.59 + blue * 0.11 < 128;
  };

  const shared = {
    points: () => ({ category, shape, level, order }),
    mode: () => mode,
    marked: () => [chosen, sought],
    isChosen: (point, panel) => point === chosen && panel === chosenIn,
    query: (panel) => data.panels[panels.indexOf(panel)]?.query,
    choose,
    open: (point) => point >= 0 && component.setTriggerValue("open", point),
    depthKeys: (depth) => {
      const keys = new Uint16Array(depth.length);
      for (let i = 0; i < keys.length; i++) keys[i] = (level[i] > FAINT ? 256 : 0) + depth[i];
      return keys;
    },
    colour: (point) => {
      const entry = data.legend[category[point]];
      return isDark() ? entry.dark : entry.light;
    },
    look: (zoom, ratio, side) => {
      const night = isDark();
      const count = Math.max(1, category.length);
      const room = Math.min(1, Math.max(0.6, Math.sqrt(side / 600))); // on a small screen points are smaller
      const size = Math.min(9, Math.max(0.55, 4.2 * room * Math.min(1, (700 / count) ** 0.28) * Math.sqrt(zoom)));
      const alpha = 220 * Math.min(1, (5000 / count) ** 0.2) * (data.panels.some((panel) => panel.query) ? 0.72 : 1);
      return {
        night,
        size,
        ratio,
        ink: night ? "#ffffff" : "#10181f",
        ground: packed(rgb(getComputedStyle(element).getPropertyValue("--st-background-color").trim())),
        colours: data.legend.map((entry) => packed(rgb(night ? entry.dark : entry.light))),
        alpha: [12, Math.round(alpha * 0.16), Math.round(alpha), 256],
        radius: [1, 1, 1, 1.15].map((times) => times * size * ratio),
      };
    },
    select: (found, how) => {
      const before = selected ?? new Uint8Array(found.length);
      if (how === "add") found.forEach((one, i) => (found[i] = one | before[i]));
      if (how === "take") found.forEach((one, i) => (found[i] = before[i] & ~one & 1));
      keep(found);
    },
    toggle: (point) => {
      if (point < 0) return;
      const found = selected ? selected.slice() : new Uint8Array(category.length);
      found[point] ^= 1;
      keep(found);
    },
  };

  function keep(found) {
    selected = found.some(Boolean) ? found : null;
    sortPoints();
    tellSelection();
    // With the time, so that the same choice made again, or none where none was known, is news to Python too.
    component.setStateValue("selection", { at: Date.now(), bits: selected ? toBits(selected) : "" });
  }

  function tellSelection() {
    let count = 0;
    if (selected) for (const one of selected) count += one;
    clear.hidden = !selected;
    told.textContent = selected ? `${count.toLocaleString("en")} ${count === 1 ? "case" : "cases"} chosen` : "";
  }

  function choose(point, panel) {
    if (point === chosen && panel === chosenIn) return;
    [chosen, chosenIn] = [point, panel];
    clearTimeout(timer);
    for (const one of panels) {
      one.aim(point >= 0);
      if (point < 0 || one !== panel) one.hideTip();
      one.refresh(false);
    }
    if (point < 0) return;
    showTip();
    if (!cards.has(point)) timer = setTimeout(() => component.setStateValue("hover", point), HOVER_DELAY);
  }

  const showTip = () => chosenIn.showTip(cards.get(chosen), data.legend[category[chosen]].name);

  function drawLegend() {
    const night = isDark();
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
          sortPoints();
        };
        return button;
      }),
    );
    shapes.textContent = data.shapes.map((name, number) => `${"●■▲◆"[number]} ${name}`).join("   ");
    shapes.hidden = !data.shapes.length;
  }

  function setMode(next) {
    mode = next;
    element.classList.toggle("selecting", mode !== "move");
    for (const button of modes) {
      button.setAttribute("aria-checked", String(button.dataset.mode === mode));
      button.tabIndex = button.dataset.mode === mode ? 0 : -1;
    }
  }

  modes.forEach((button, number) => {
    button.onclick = () => setMode(button.dataset.mode);
    button.onkeydown = (event) => {
      const way = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!way) return;
      const next = modes[(number + way + modes.length) % modes.length];
      setMode(next.dataset.mode);
      next.focus();
      event.preventDefault();
    };
  });
  setMode("move");
  clear.onclick = () => keep(new Uint8Array(category.length));
  shelf.waiting.add(arrive);
  return {
    update,
    close: () => {
      clearTimeout(timer);
      shelf.waiting.delete(arrive);
      for (const panel of panels) panel.close();
    },
  };
}
