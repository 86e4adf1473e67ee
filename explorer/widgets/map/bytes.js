// Takes arrays from Python to the maps on the page: they are sent once, and whatever else of a map changes travels
// without them. The first 32 characters of the bytes name them.
const NAME = 32;

export default function (component) {
  const shelf = (globalThis[Symbol.for("cxr-map-bytes")] ??= { arrays: new Map(), waiting: new Set() });
  const { data, parentElement } = component;
  const held = (parentElement.cxrHeld ??= { name: null });
  const name = new TextDecoder().decode(data.subarray(0, NAME));
  if (name !== held.name) {
    shelf.arrays.delete(held.name);
    shelf.arrays.set(name, data.slice(NAME).buffer);
    held.name = name;
    for (const look of [...shelf.waiting]) look();
  }
  return () => {
    shelf.arrays.delete(held.name);
    held.name = null;
  };
}
