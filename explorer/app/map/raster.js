// Points drawn straight into pixels: a million in some tens of milliseconds, on any machine. A point is a stamp, the
// coverage of its shape, blended into the ground.
const FINE = 4; // samples a pixel is divided into, each way

const INSIDE = [
  (x, y) => x * x + y * y <= 1,
  (x, y) => Math.abs(x) <= 0.88 && Math.abs(y) <= 0.88,
  (x, y) => y <= 0.72 && Math.abs(x) * 1.62 <= y + 1.08,
  (x, y) => Math.abs(x) + Math.abs(y) <= 1.22,
];

function makeStamp(shape, radius) {
  const reach = Math.max(0, Math.ceil(radius * 1.25 - 0.5));
  const side = 2 * reach + 1;
  const cover = new Uint8Array(side * side);
  for (let row = 0; row < side; row++) {
    for (let column = 0; column < side; column++) {
      let hits = 0;
      for (let v = 0; v < FINE; v++) {
        for (let u = 0; u < FINE; u++) {
          const x = (column - reach + (u + 0.5) / FINE - 0.5) / radius;
          const y = (row - reach + (v + 0.5) / FINE - 0.5) / radius;
          hits += INSIDE[shape](x, y);
        }
      }
      cover[row * side + column] = Math.round((255 * hits) / FINE ** 2);
    }
  }
  if (!cover[reach * side + reach]) cover[reach * side + reach] = 255 * Math.min(1, Math.PI * radius * radius);
  return { reach, side, cover };
}

function rgb(hex) {
  const value = parseInt(hex.slice(1, 7), 16);
  return [(value >> 16) & 255, (value >> 8) & 255, value & 255];
}

// As a pixel of little-endian image data: alpha, blue, green, red.
const packed = ([red, green, blue]) => (255 << 24) | (blue << 16) | (green << 8) | red;

/**
 * @param target {pixels: Uint32Array, width, height} in device pixels
 * @param points {screen: Float32Array of CSS pixels, order: Uint32Array, category, shape, level: Uint8Array}
 * @param depth Uint8Array, 255 nearest, or null where there is none
 * @param style {ground, colours: packed pixels by category, alpha: 0..256 by level, radius: by level, ratio}
 */
function rasterise(target, points, depth, style) {
  const { pixels, width, height } = target;
  const { screen, order, category, shape, level } = points;
  pixels.fill(style.ground);
  const stamps = style.radius.map((radius) => INSIDE.map((_, kind) => makeStamp(kind, radius)));
  for (let n = 0; n < order.length; n++) {
    const i = order[n];
    const stamp = stamps[level[i]][shape[i]];
    const { reach, side, cover } = stamp;
    const left = Math.floor(screen[2 * i] * style.ratio) - reach;
    const top = Math.floor(screen[2 * i + 1] * style.ratio) - reach;
    if (left <= -side || top <= -side || left >= width || top >= height) continue;
    const colour = style.colours[category[i]];
    const sourceA = colour & 0xff00ff;
    const sourceB = colour & 0x00ff00;
    let alpha = style.alpha[level[i]];
    if (depth) alpha = (alpha * (90 + ((166 * depth[i]) >> 8))) >> 8;
    const firstColumn = Math.max(0, -left);
    const lastColumn = Math.min(side, width - left);
    const lastRow = Math.min(side, height - top);
    for (let row = Math.max(0, -top); row < lastRow; row++) {
      let at = (top + row) * width + left + firstColumn;
      let k = row * side + firstColumn;
      for (let column = firstColumn; column < lastColumn; column++, at++, k++) {
        const weight = (cover[k] * alpha) >> 8;
        if (!weight) continue;
        const old = pixels[at];
        const oldA = old & 0xff00ff;
        const oldB = old & 0x00ff00;
        const mixedA = (oldA + (Math.imul(sourceA - oldA, weight) >>> 8)) & 0xff00ff;
        const mixedB = (oldB + (Math.imul(sourceB - oldB, weight) >>> 8)) & 0x00ff00;
        pixels[at] = 0xff000000 | mixedA | mixedB;
      }
    }
  }
}

/** Numbers 0 to n - 1 in the order of their keys (Uint16Array), equal ones as they come. */
function sortByKey(keys, kinds) {
  const start = new Uint32Array(kinds + 1);
  for (let i = 0; i < keys.length; i++) start[keys[i] + 1]++;
  for (let key = 0; key < kinds; key++) start[key + 1] += start[key];
  const order = new Uint32Array(keys.length);
  for (let i = 0; i < keys.length; i++) order[start[keys[i]]++] = i;
  return order;
}
