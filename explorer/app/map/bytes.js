// Takes arrays from Python to the maps on the page: they are sent once, and whatever else of a map changes travels
// without them. The first 32 characters of the bytes name them.
const NAME = 32;

export default function (component) {
  const shelf = (globalThis[Symbol.for("cxr-map-bytes")] ??= { arrays: new Map(), waiting: new Set() });
  const { data, parentElement } = component;
  const name = new TextDecoder().decode(data.subarray(0, NAME));
  if (name !== parentElement.cxrHeld) {
    // The same array may lie in two places for a moment, while one map takes the place of another.
    const kept = shelf.arrays.get(name) ?? { buffer: data.slice(NAME).buffer, holders: new Set() };
    kept.holders.add(parentElement);
    shelf.arrays.set(name, kept);
    release(shelf, parentElement);
    parentElement.cxrHeld = name;
    for (const look of [...shelf.waiting]) look();
  }
  return () => {
    // Streamlit also ends a call that a later one overtook; what is drawn lives as long as its place on the page.
    if (parentElement.isConnected) return;
    release(shelf, parentElement);
  };
}

function release(shelf, holder) {
  const kept = shelf.arrays.get(holder.cxrHeld);
  kept?.holders.delete(holder);
  if (kept && !kept.holders.size) shelf.arrays.delete(holder.cxrHeld);
  holder.cxrHeld = null;
}
