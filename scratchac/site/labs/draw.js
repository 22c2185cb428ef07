// What the three pages draw with: SVG as text, in pixels, so that text has the same size on every screen.

const $ = (id) => document.getElementById(id);

// Text of a number with a true minus sign, and never −0
const fixed = (x, digits) => (Math.abs(x) < 0.5 * 10 ** -digits ? 0 : x).toFixed(digits).replace("-", "−");

const line = (kind, x1, y1, x2, y2) => `<line class="${kind}" x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}"/>`;
const text = (x, y, anchor, content, kind = "") =>
  `<text class="${kind}" x="${x}" y="${y}" text-anchor="${anchor}">${content}</text>`;
const joined = (points) => points.map(([x, y]) => `${x.toFixed(2)} ${y.toFixed(2)}`).join("L");
const path = (kind, points, more = "") => `<path class="${kind}" d="M${joined(points)}${more}"/>`;
const dot = (kind, x, y, r) => `<circle class="${kind}" cx="${x}" cy="${y}" r="${r}"/>`;

// Heights for a wide window and for a phone
const tall = (wide, narrow) => (window.innerWidth > 860 ? wide : narrow);

// About `count` round numbers between two ends
function ticks(low, high, count) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((k) => k * power >= rough * 0.999);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const first = Math.ceil(low / step - 1e-9), length = Math.floor(high / step + 1e-9) - first + 1;
  return Array.from({ length }, (_, i) => [(first + i) * step, fixed((first + i) * step, digits)]);
}

// A chart in the SVG `id`: maps x and y to pixels, draws the grid with about `count` numbers, and shows what it is given. `under`
// writes below the axis.
function chart(id, { height, x, y, left = 40, right = 10, top = 12, bottom = 26, count = 4 }) {
  const svg = $(id), width = Math.max(svg.clientWidth, 240);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("height", height);
  const px = (value) => left + (width - left - right) * (value - x[0]) / (x[1] - x[0]);
  const py = (value) => height - bottom - (height - bottom - top) * (value - y[0]) / (y[1] - y[0]);
  const grid = (count ? ticks(y[0], y[1], count) : []).map(([value, label]) =>
    line(Math.abs(value) < 1e-12 ? "zero" : "grid", left, py(value), width - right, py(value)) +
    text(left - 7, py(value) + 4, "end", label)).join("");
  const frame = `<clipPath id="${id}-frame"><rect x="${left}" y="${top}" width="${width - left - right}" ` +
    `height="${height - bottom - top}"/></clipPath>`;
  return { px, py, width, height, left, right: width - right, top, bottom: height - bottom, clip: `clip-path="url(#${id}-frame)"`,
           under: (value, label, anchor = "middle", kind = "") => text(px(value), height - 7, anchor, label, kind),
           show(drawn, said) { svg.innerHTML = frame + grid + drawn; svg.setAttribute("aria-label", said); } };
}

// A slider writes its number into `settings`, and beside its name; `map` makes the setting of the slider's value
function slider(settings, id, digits, draw, map = Number, back = Number) {
  const show = () => {
    $(`${id}-shown`).value = fixed(settings[id], digits);
    $(id).setAttribute("aria-valuetext", fixed(settings[id], digits));
  };
  const set = (value) => { settings[id] = value; $(id).value = back(value); show(); };
  set(settings[id]);
  $(id).addEventListener("input", () => { settings[id] = map($(id).value); show(); draw(); });
  return set;
}
