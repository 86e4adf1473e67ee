"""Own components in Chromium, called as Streamlit calls them: a call that a later one overtook is ended after it."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from playwright.sync_api import Page

from explorer.app.map import canvas as map_canvas

pytestmark = pytest.mark.browser

_NAMES = ("raster.js", "camera.js", "panel.js", "map.js")

_OVERTAKEN = """async ([bytes, script, html]) => {
  const module = (text) => import("data:text/javascript;base64," + text);
  const [{ default: takeBytes }, { default: drawMap }] = [await module(bytes), await module(script)];
  const places = new Float32Array([0, 0, 1, 1, 2, 0]);
  const array = (name, content) => {
    const data = new Uint8Array(32 + content.byteLength);
    data.set(new TextEncoder().encode(name));
    data.set(new Uint8Array(content.buffer), 32);
    return data;
  };
  const [first, second] = ["p".repeat(32), "m".repeat(32)];
  const [holder, other, root] = [1, 2, 3].map(() => document.body.appendChild(document.createElement("div")));
  root.innerHTML = html;
  const told = [];
  const data = {
    map: "map", colour: "split", marks: second, selected: null, cards: {}, sought: null, shapes: [],
    panels: [{ positions: first, dims: 2, title: "", label: "Map", query: null }],
    legend: [{ name: "train", light: "#224466", dark: "#88aacc", count: 3, quiet: false }],
  };
  const call = () => [
    takeBytes({ data: array(first, places), parentElement: holder }),
    takeBytes({ data: array(second, new Uint8Array(6)), parentElement: other }),
    drawMap({ data: { ...data }, parentElement: root, setStateValue: (name) => told.push(name) }),
  ];
  const press = (key) =>
    root.querySelector(".over").dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  const rest = () => new Promise((done) => setTimeout(done, 150));
  const app = () => globalThis[Symbol.for("cxr-map-bytes")];

  const overtaken = call();
  await rest();
  const canvas = root.querySelector(".over");
  press("ArrowRight");
  press(" ");
  for (const end of overtaken) end();
  call();
  await rest();
  const tip = root.querySelector(".tip");
  const kept = [canvas.isConnected, !tip.hidden, root.querySelector(".chosen").textContent, app().arrays.size];
  const last = call();
  document.body.replaceChildren();
  for (const end of last) end();
  return { kept, told, left: [app().arrays.size, app().waiting.size] };
}"""


def test_a_map_outlives_a_call_that_was_overtaken(page: Page) -> None:
    folder = Path(map_canvas.__file__).parent
    script = "\n".join((folder / name).read_text("utf-8") for name in _NAMES)
    texts = [base64.b64encode(text.encode()).decode() for text in ((folder / "bytes.js").read_text("utf-8"), script)]
    page.goto("about:blank")
    found = page.evaluate(_OVERTAKEN, [*texts, (folder / "map.html").read_text("utf-8")])
    assert found["kept"] == [True, True, "1 case chosen", 2]
    assert found["told"] == ["selection", "hover"]
    assert found["left"] == [0, 0]
