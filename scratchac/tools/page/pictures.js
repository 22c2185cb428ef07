// Drawings: a picture of each world, in metres with y upwards, and the curves.

const colours = {};
function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["page", "card", "ink", "muted", "line", "soft", "blue", "orange", "green"]) {
    colours[name] = style.getPropertyValue(`--${name}`).trim();
  }
}

// A canvas made as sharp as the screen; returns its context, and width and height in CSS pixels.
function prepare(canvas) {
  const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const ctx = canvas.getContext("2d");
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx.clearRect(0, 0, width, height);
  return { ctx, width, height };
}

// Where the world [x0, x1] × [y0, y1] lies on a canvas: the whole of it, in the middle, as large as it fits.
function camera(canvas, [x0, x1, y0, y1]) {
  const scale = Math.min(canvas.clientWidth / (x1 - x0), canvas.clientHeight / (y1 - y0));
  return { scale, x: canvas.clientWidth / 2 - scale * (x0 + x1) / 2, y: canvas.clientHeight / 2 + scale * (y0 + y1) / 2 };
}

// a number with so many decimals, a true minus sign, and no minus before a zero
function decimals(x, digits) {
  const text = x.toFixed(digits);
  return text.replace("-", Number(text) === 0 ? "" : "−");
}

function line(ctx, points, colour, width, dash = []) {
  ctx.beginPath();
  points.forEach(([x, y]) => ctx.lineTo(x, y));
  ctx.strokeStyle = colour;
  ctx.lineWidth = width;
  ctx.lineCap = ctx.lineJoin = "round";
  ctx.setLineDash(dash);
  ctx.stroke();
  ctx.setLineDash([]);
}

function disc(ctx, [x, y], radius, colour) {
  ctx.beginPath();
  ctx.arc(x, y, radius, 0, 2 * Math.PI);
  ctx.fillStyle = colour;
  ctx.fill();
}

function box(ctx, x, y, width, height, radius, colour) {
  ctx.beginPath();
  ctx.roundRect(x, y, width, height, radius);
  ctx.fillStyle = colour;
  ctx.fill();
}

function arrow(ctx, [x, y], [dx, dy], colour, width) {
  const length = Math.hypot(dx, dy);
  if (length < 1e-3) return;
  const [ux, uy] = [dx / length, dy / length], head = Math.min(3.2 * width, length);
  const neck = [x + dx - ux * head, y + dy - uy * head];
  line(ctx, [[x, y], neck], colour, width);
  ctx.beginPath();
  ctx.moveTo(x + dx, y + dy);
  ctx.lineTo(neck[0] - uy * head * 0.6, neck[1] + ux * head * 0.6);
  ctx.lineTo(neck[0] + uy * head * 0.6, neck[1] - ux * head * 0.6);
  ctx.fillStyle = colour;
  ctx.fill();
}

// a torque as an arc about a joint: counterclockwise from the top if it is positive
function torqueArc(ctx, [x, y], radius, torque, colour, width) {
  const sign = Math.sign(torque), angle = 1.9 * Math.abs(torque), end = Math.PI / 2 + sign * angle;
  if (angle < 0.05) return;
  line(ctx, Array.from({ length: 33 }, (_, i) => Math.PI / 2 + sign * angle * i / 32).map((a) => [x + radius * Math.cos(a), y + radius * Math.sin(a)]),
    colour, width);
  arrow(ctx, [x + radius * Math.cos(end), y + radius * Math.sin(end)],
    [-Math.sin(end) * sign * 3 * width, Math.cos(end) * sign * 3 * width], colour, width);
}

const hill = (x) => Math.sin(3 * x) * 0.45 + 0.55;

// view: what is shown; angles: which numbers of the state are angles; ended: how an episode ends before its time; motor: an action
// between −1 and 1; hold: the point that a push acts on; strength: the largest push
const pictures = {
  "CartPole-v1": {
    view: [-2.65, 2.65, -0.72, 1.62], angles: [], ended: "fell", strength: 12, motor: (action) => 2 * action - 1,
    text: "A cart on a track balances a pole",
    hold: ([x]) => [x, 0],
    draw(ctx, [x, , theta], motor) {
      line(ctx, [[-2.4, -0.26], [2.4, -0.26]], colours.line, 0.035);
      for (let i = -2; i <= 2; i++) line(ctx, [[i, -0.34], [i, -0.38]], colours.line, 0.02);
      for (const end of [-2.4, 2.4]) line(ctx, [[end, -0.26], [end, 0]], colours.orange, 0.04);
      const hinge = [x, 0.1], limit = 12 * Math.PI / 180;
      ctx.beginPath();
      ctx.moveTo(...hinge);
      ctx.arc(...hinge, 1.2, Math.PI / 2 - limit, Math.PI / 2 + limit);
      ctx.fillStyle = colours.soft;
      ctx.fill();
      arrow(ctx, [x + 0.34 * motor, -0.02], [0.45 * motor, 0], colours.blue, 0.06);
      for (const side of [-0.17, 0.17]) disc(ctx, [x + side, -0.17], 0.085, colours.ink);
      box(ctx, x - 0.31, -0.15, 0.62, 0.29, 0.06, colours.blue);
      line(ctx, [hinge, [x + Math.sin(theta), 0.1 + Math.cos(theta)]], colours.orange, 0.085);
      disc(ctx, hinge, 0.035, colours.card);
    },
  },

  "Pendulum-v1": {
    view: [-1.45, 1.45, -1.28, 1.36], angles: [0], strength: 3.5, motor: (action) => action[0] / 2,
    text: "A pendulum that a motor at its pivot swings up",
    hold: ([theta]) => [-Math.sin(theta), Math.cos(theta)],
    draw(ctx, state, motor) {
      ctx.beginPath();
      ctx.arc(0, 0, 1, 0, 2 * Math.PI);
      ctx.strokeStyle = colours.soft;
      ctx.lineWidth = 0.025;
      ctx.stroke();
      line(ctx, [[0, 1.1], [0, 1.2]], colours.green, 0.035);
      const tip = this.hold(state);
      torqueArc(ctx, [0, 0], 0.33, motor, colours.blue, 0.04);
      line(ctx, [[0, 0], tip], colours.orange, 0.085);
      disc(ctx, tip, 0.13, colours.orange);
      disc(ctx, [0, 0], 0.075, colours.ink);
      disc(ctx, [0, 0], 0.025, colours.card);
    },
  },

  "Acrobot-v1": {
    view: [-2.5, 2.5, -2.25, 2.25], angles: [0, 1], ended: "reached the line", strength: 4, motor: (action) => action - 1,
    text: "Two links hang from a pivot; a motor between them swings the tip up to the line",
    hold: ([theta]) => [Math.sin(theta), -Math.cos(theta)],
    draw(ctx, state, motor) {
      line(ctx, [[-2.3, 1], [2.3, 1]], colours.green, 0.03, [0.09, 0.11]);
      const elbow = this.hold(state), both = state[0] + state[1];
      const tip = [elbow[0] + Math.sin(both), elbow[1] - Math.cos(both)];
      torqueArc(ctx, elbow, 0.36, 0.7 * motor, colours.blue, 0.055);
      disc(ctx, [0, 0], 0.16, colours.muted);
      line(ctx, [[0, 0], elbow], colours.ink, 0.16);
      line(ctx, [elbow, tip], colours.orange, 0.14);
      disc(ctx, elbow, 0.115, colours.blue);
      disc(ctx, [0, 0], 0.05, colours.card);
      disc(ctx, elbow, 0.04, colours.card);
    },
  },

  "MountainCarContinuous-v0": {
    view: [-1.26, 0.76, -0.02, 1.28], angles: [], ended: "reached the flag", strength: 1.5, motor: (action) => action[0],
    text: "A car too weak for its hill builds up speed by going back and forth",
    hold: ([x]) => [x, hill(x) + 0.055],
    draw(ctx, [x], motor) {
      const ground = Array.from({ length: 181 }, (_, i) => -1.2 + i / 100).map((at) => [at, hill(at)]);
      ctx.beginPath();
      ctx.moveTo(-1.2, -0.02);
      ground.forEach(([at, height]) => ctx.lineTo(at, height));
      ctx.lineTo(0.6, -0.02);
      ctx.fillStyle = colours.soft;
      ctx.fill();
      line(ctx, ground, colours.muted, 0.011);
      line(ctx, [[0.45, hill(0.45)], [0.45, hill(0.45) + 0.15]], colours.ink, 0.011);
      ctx.beginPath();
      for (const [dx, dy] of [[0, 0.15], [-0.1, 0.12], [0, 0.09]]) ctx.lineTo(0.45 + dx, hill(0.45) + dy);
      ctx.fillStyle = colours.green;
      ctx.fill();
      ctx.save();
      ctx.translate(x, hill(x));
      ctx.rotate(Math.atan(1.35 * Math.cos(3 * x)));
      arrow(ctx, [0.085 * Math.sign(motor), 0.06], [0.13 * motor, 0], colours.blue, 0.018);
      box(ctx, -0.075, 0.03, 0.15, 0.045, 0.014, colours.orange);
      box(ctx, -0.035, 0.06, 0.075, 0.045, 0.018, colours.orange);
      for (const side of [-0.043, 0.043]) disc(ctx, [side, 0.026], 0.024, colours.ink);
      for (const side of [-0.043, 0.043]) disc(ctx, [side, 0.026], 0.009, colours.card);
      ctx.restore();
    },
  },
};

const MARGIN = 54, TICKS = [200, 100, 0];           // pixels right of the curves, for numbers; steps ago that the time axis names

// How many steps a column of shares stands for: as many as make it 8 pixels wide, or one more.
const stepsOfColumn = (canvas, window) => Math.ceil(8 * window / (canvas.clientWidth - MARGIN));

// Curves over the last `window` steps. lines: [{values, colour, band}], band a second array of half widths. shares instead of lines:
// arrays of numbers that add up to 1 at every step, drawn as columns on one another, each the mean over `steps` steps.
function drawCurves(canvas, { lines = [], shares = [], steps = 1 }, history, window, range = null) {
  const { ctx, width, height } = prepare(canvas), right = width - MARGIN, bottom = height - 23;
  let [low, high] = range ?? [Infinity, -Infinity];
  if (!range) {
    for (const { values } of lines) for (const y of values) [low, high] = [Math.min(low, y), Math.max(high, y)];
    if (low > high) [low, high] = [0, 1];
    const room = Math.max(0.08 * (high - low), 0.02 * Math.max(Math.abs(low), Math.abs(high)), 1e-3);
    [low, high] = [low - room, high + room];
  }
  const px = (i) => right * (i + window - history.length) / (window - 1), py = (y) => 5 + (bottom - 10) * (high - y) / (high - low);
  const text = (y, colour) => {
    const digits = Math.max(0, 2 - Math.floor(Math.log10(high - low)));
    ctx.fillStyle = colour;
    ctx.fillText(decimals(y, Math.min(digits, 4)), right + 7, py(y));
  };
  ctx.font = "11px system-ui, sans-serif";
  ctx.textBaseline = "middle";
  const marks = range ?? [low + 0.06 * (high - low), high - 0.06 * (high - low)];
  for (const y of marks) text(y, colours.muted);
  const zero = low < 0 && high > 0;
  for (const y of zero ? [0] : []) line(ctx, [[0, py(y)], [right, py(y)]], colours.line, 1);
  if (zero && marks.every((y) => Math.abs(py(y) - py(0)) > 12)) text(0, colours.muted);
  line(ctx, [[0, bottom + 1], [right, bottom + 1]], colours.line, 1);
  ctx.fillStyle = colours.muted;
  for (const ago of TICKS) {
    const x = right * (1 - ago / window);
    ctx.textAlign = ago === 0 ? "right" : ago === window ? "left" : "center";
    ctx.fillText(ago === 0 ? "now" : ago === window ? `−${ago} steps` : `−${ago}`, x, bottom + 16);
    line(ctx, [[x, bottom + 1], [x, bottom + 5]], colours.line, 1);
  }
  ctx.textAlign = "left";

  ctx.save();
  ctx.beginPath();
  ctx.rect(0, 2, right + 4, height);
  ctx.clip();
  if (shares.length && history.length) drawShares(ctx, shares, steps, history, px, py);
  history.forEach((sample, i) => {
    if (sample.first) line(ctx, [[px(i), 4], [px(i), bottom]], colours.muted, 1, [1, 4]);
    if (sample.pushed) { ctx.fillStyle = colours.green; ctx.fillRect(px(i) - right / window / 2, bottom + 2, right / window + 0.5, 3); }
  });
  for (const { values, colour, band } of lines) {
    let part = [];
    const finish = (end) => {
      if (band && part.length > 1) {
        ctx.beginPath();
        part.forEach(([x, , i]) => ctx.lineTo(x, py(values[i] + band[i])));
        part.slice().reverse().forEach(([x, , i]) => ctx.lineTo(x, py(values[i] - band[i])));
        ctx.globalAlpha = 0.18;
        ctx.fillStyle = colour;
        ctx.fill();
        ctx.globalAlpha = 1;
      }
      line(ctx, part, colour, 1.7);
      if (end && part.length) disc(ctx, part.at(-1), 3, colour);
      part = [];
    };
    values.forEach((y, i) => {
      if (history[i].first) finish(false);
      part.push([px(i), py(y), i]);
    });
    finish(true);
  }
  ctx.restore();
}

// Columns begin at multiples of their steps, so that they move along and do not change. Without a mean, a policy that goes from 0 to 1 and
// back at every step would be stripes finer than a pixel. Edges are whole pixels, for there would be seams otherwise.
function drawShares(ctx, shares, steps, history, px, py) {
  const whole = (x) => Math.round(x * devicePixelRatio) / devicePixelRatio;
  ctx.globalAlpha = 0.72;
  for (let start = 0, end; start < history.length; start = end) {
    end = Math.min(history.length, start + steps - history[start].tick % steps);
    const left = whole(px(start - 1)), right = whole(px(end - 1));
    let below = 0;
    for (const { values, colour } of shares) {
      const above = below + values.slice(start, end).reduce((a, b) => a + b) / (end - start);
      ctx.fillStyle = colour;
      ctx.fillRect(left, whole(py(above)), right - left, whole(py(below)) - whole(py(above)));
      below = above;
    }
  }
  ctx.globalAlpha = 1;
}
