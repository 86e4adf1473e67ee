// From map coordinates to the screen, flat or turned in space.
const MARGIN = 28; // CSS pixels around the points
const DISTANCE = 3.4; // of the eye, in radii of the cloud

function createCamera(positions, dims) {
  const low = new Array(dims).fill(Infinity);
  const high = new Array(dims).fill(-Infinity);
  for (let i = 0; i < positions.length; i++) {
    const axis = i % dims;
    if (positions[i] < low[axis]) low[axis] = positions[i];
    if (positions[i] > high[axis]) high[axis] = positions[i];
  }
  const middle = low.map((least, axis) => (positions.length ? (least + high[axis]) / 2 : 0));
  const span = low.map((least, axis) => (positions.length ? Math.max(high[axis] - least, 1e-6) : 1));
  const radius = Math.hypot(...span) / 2;
  let view;

  function reset() {
    view = { zoom: 1, x: 0, y: 0, yaw: 0.6, pitch: 0.35 }; // x, y: the middle's place, CSS pixels from the stage's
  }

  function scale(width, height) {
    const fit =
      dims === 3
        ? (Math.min(width, height) - 2 * MARGIN) / (1.5 * radius)
        : Math.min((width - 2 * MARGIN) / span[0], (height - 2 * MARGIN) / span[1]);
    return view.zoom * Math.max(fit, 1e-9);
  }

  /** Screen places (CSS pixels, x and y in turn) of positions; `depth` takes 0 far to 255 near where there is one. */
  function project(from, width, height, screen, depth) {
    const s = scale(width, height);
    const [midX, midY] = [width / 2 + view.x, height / 2 + view.y];
    const count = from.length / dims;
    if (dims === 2) {
      for (let i = 0; i < count; i++) {
        screen[2 * i] = midX + (from[2 * i] - middle[0]) * s;
        screen[2 * i + 1] = midY - (from[2 * i + 1] - middle[1]) * s;
      }
      return;
    }
    const [cosY, sinY, cosP, sinP] = [Math.cos(view.yaw), Math.sin(view.yaw), Math.cos(view.pitch), Math.sin(view.pitch)];
    const eye = DISTANCE * radius;
    for (let i = 0; i < count; i++) {
      const x = from[3 * i] - middle[0];
      const y = from[3 * i + 1] - middle[1];
      const z = from[3 * i + 2] - middle[2];
      const across = cosY * x + sinY * z;
      const back = cosY * z - sinY * x;
      const up = cosP * y - sinP * back;
      const near = sinP * y + cosP * back;
      const enlarged = (s * eye) / (eye - near);
      screen[2 * i] = midX + across * enlarged;
      screen[2 * i + 1] = midY - up * enlarged;
      if (depth) depth[i] = Math.max(0, Math.min(255, 127.5 + (127.5 * near) / radius));
    }
  }

  function zoomAt(factor, x, y) {
    const zoom = Math.min(80, Math.max(0.5, view.zoom * factor));
    const grown = zoom / view.zoom;
    view.x = x - (x - view.x) * grown;
    view.y = y - (y - view.y) * grown;
    view.zoom = zoom;
  }

  function move(dx, dy) {
    view.x += dx;
    view.y += dy;
  }

  function turn(dx, dy) {
    view.yaw += dx * 0.008;
    view.pitch = Math.max(-1.55, Math.min(1.55, view.pitch + dy * 0.008));
  }

  reset();
  return { dims, project, reset, zoomAt, move, turn, zoom: () => view.zoom };
}
