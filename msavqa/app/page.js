"use strict";
const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

function put(parent, tag, text, name) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  parent.append(made);
  return made;
}

// As the command line rounds: a tie, which only a multiple of 1/8 can be in two digits, goes to the even digit.
function fixed(value, digits) {
  const parts = value * 2 ** (digits + 1);
  if (!Number.isInteger(parts) || parts % 2 === 0) return value.toFixed(digits);
  const below = Math.floor(value * 10 ** digits);
  return ((below % 2 === 0 ? below : below + 1) / 10 ** digits).toFixed(digits);
}

function size(bytes) {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

function place(measure) {
  const share = measure.share_below;
  return fixed(measure.value, 3) + (share === null ? "" : ` (above ${Math.round(100 * share)}% of training)`);
}

function digitsOf(score) {
  const [low, high] = score.mos_range;
  return high - low >= 20 ? 1 : 2;
}

function difference(scores) {
  $("difference").hidden = scores.length < 2;
  if (scores.length < 2) return;
  const digits = digitsOf(scores[0]);
  const change = scores[1].score - scores[0].score;
  const apart = fixed(Math.abs(change), digits);
  $("difference").textContent = Number(apart) === 0 ? "Both prompts give the same score."
    : `The second prompt scores ${apart} ${change < 0 ? "lower" : "higher"} than the first.`;
}

// Where a score and its interval lie on the scale of the raters, 300 wide; `rated` is what people gave, if known.
function scale(score, rated) {
  const [low, high] = score.mos_range;
  const digits = digitsOf(score);
  const x = (value) => 10 + (280 * (value - low)) / (high - low);
  const said = `${fixed(score.score, digits)} on the scale from ${low} to ${high}, ` +
    `interval ${fixed(score.low, digits)} to ${fixed(score.high, digits)}`;
  const facts = { class: "scale", viewBox: "0 0 300 44", role: "img", "aria-label": said };
  const drawing = shape(null, "svg", facts);
  shape(drawing, "line", { class: "axis", x1: x(low), x2: x(high), y1: 16, y2: 16 });
  const reach = { class: "interval", x: x(score.low), width: x(score.high) - x(score.low), y: 11, height: 10, rx: 4 };
  shape(drawing, "rect", reach);
  shape(drawing, "circle", { class: "point", cx: x(score.score), cy: 16, r: 6 });
  if (rated !== null) shape(drawing, "circle", { class: "rated", cx: x(rated), cy: 16, r: 6 });
  for (const [value, anchor] of [[low, "start"], [high, "end"]]) {
    const end = { x: value === low ? 4 : 296, y: 40, "text-anchor": anchor };
    shape(drawing, "text", end).textContent = value;
  }
  return drawing;
}

// Of `familiarity`: the share of training videos that are at least as unlike the others; null where a model cannot tell.
function likeness(share) {
  if (share === null) return "cannot be told by this model";
  const percent = share < 0.01 ? "less than 1%" : `${Math.round(100 * share)}%`;
  return `${percent} of them are at least this unlike the rest`;
}

function card(score, rated) {
  const [low, high] = score.mos_range;
  const digits = digitsOf(score);
  const box = put($("scores"), "div", undefined, "score");
  // What the page says of the model on top is not said again of every score.
  const warnings = score.warnings.filter((one) => `${one}.` !== score.verdict);
  if (warnings.length) {
    const list = put(box, "ul");
    for (const warning of warnings) put(list, "li", warning);
  }
  put(box, "div", score.prompt ? `“${score.prompt}”` : "(no prompt)", "quiet");
  put(box, "b", fixed(score.score, digits));
  put(box, "span", ` of ${low}–${high}`, "quiet");
  box.append(scale(score, rated));
  const facts = put(box, "dl");
  const fact = (name, text) => { put(facts, "dt", name); put(facts, "dd", text); };
  const unlike = typeof score.familiarity === "number" && score.familiarity <= score.familiarity_bound;
  if (unlike) fact("interval", "the whole scale: the score is a guess");
  else fact(`${Math.round(100 * score.coverage)}% interval`, `${fixed(score.low, digits)} to ${fixed(score.high, digits)}`);
  if (rated !== null) fact("rated", `${fixed(rated, digits)} (the ring)`);
  if (score.familiarity !== undefined) fact("like training videos", likeness(score.familiarity));
  for (const [name, one] of Object.entries(score.branches)) fact(name, fixed(one.value, digits));
  if (score.alignment) fact("alignment", place(score.alignment));
  if (score.consistency) fact("consistency", place(score.consistency));
  if (score.prompt_pieces > 1) fact("prompt", `read in ${score.prompt_pieces} pieces`);
  const change = typeof score.change_threshold === "number" ? "meaning changes" : "largest change";
  if (score.mutation_seconds !== null) fact(change, `at ${fixed(score.mutation_seconds, 2)} s`);
}

// Where a cosine distance or a share of attention stands on a timeline, as in the report: all have one scale.
function heightOf(distance) {
  return 32 * Math.sqrt(Math.min(Math.max(distance, 0), 1));
}

function shape(parent, tag, facts) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(facts)) made.setAttribute(name, value);
  if (parent) parent.append(made);
  return made;
}

function timeline(moments, threshold) {
  const drawing = $("timeline");
  const width = moments.length * 10;
  drawing.replaceChildren();
  drawing.setAttribute("viewBox", `0 0 ${width} 34`);
  $("seconds").replaceChildren();
  const step = Math.ceil(moments.length / 8);
  moments.forEach((one, index) => put($("seconds"), "span", index % step ? "" : `${fixed(one.seconds, 2)} s`));
  moments.forEach((one, index) => {
    const height = 0.5 + heightOf(one.change);
    const bar = shape(drawing, "rect", { class: "change", x: index * 10 + 1, width: 8, y: 33.5 - height, height });
    shape(bar, "title", {}).textContent = `${fixed(one.seconds, 2)} s: change ${fixed(one.change, 3)}`;
  });
  const looked = moments.length > 0 && moments[0].attention !== null;
  $("looks").hidden = !looked;
  if (looked) {
    const points = moments.map((one, index) => `${index * 10 + 5},${33 - heightOf(one.attention)}`).join(" ");
    shape(drawing, "polyline", { points });
  }
  const known = typeof threshold === "number";
  $("named").hidden = !known;
  if (known) {
    const level = 33 - heightOf(threshold);
    shape(drawing, "line", { class: "threshold", x1: 0, x2: width, y1: level, y2: level });
    $("threshold").textContent = `Above this line, at ${fixed(threshold, 3)}, a change is named.`;
  }
  shape(drawing, "line", { id: "now", x1: 5, x2: 5, y1: 0, y2: 34 });
}

let shown = [];

// The cursor stands over the bar of the frame that is played, and between two of them in between.
function follow() {
  const cursor = $("now");
  if (!cursor) return;
  const seconds = $("player").currentTime;
  const next = shown.findIndex((one) => one.seconds > seconds);
  const last = next < 0 ? shown.length - 1 : Math.max(next - 1, 0);
  const span = next > 0 ? shown[next].seconds - shown[last].seconds : 0;
  const x = 10 * (last + (span > 0 ? (seconds - shown[last].seconds) / span : 0)) + 5;
  for (const end of ["x1", "x2"]) cursor.setAttribute(end, x);
}

function seek(event) {
  const box = event.currentTarget.getBoundingClientRect();
  const index = Math.floor((shown.length * (event.clientX - box.left)) / box.width);
  const player = $("player");
  player.pause();
  player.currentTime = shown[Math.min(Math.max(index, 0), shown.length - 1)].seconds;
}

function play(file, moments) {
  const player = $("player");
  shown = moments;
  if (player.src) URL.revokeObjectURL(player.src);
  player.hidden = false;
  $("unplayable").hidden = true;
  player.src = URL.createObjectURL(file);
}

function refuse(text) {
  $("error").textContent = text;
  $("error").hidden = false;
}

async function ask(event) {
  event.preventDefault();
  $("error").hidden = true;
  $("results").hidden = true;
  $("scores").replaceChildren();
  const file = $("video").files[0];
  const rated = file === example.file && $("prompt").value === example.prompt ? example.mos : null;
  const form = new FormData();
  form.append("prompt", $("prompt").value);
  if ($("second").value.trim()) form.append("prompt", $("second").value);
  form.append("video", file);
  $("go").disabled = true;
  $("state").textContent = "looking…";
  try {
    const answer = await fetch("/score", { method: "POST", body: form });
    const found = await answer.json().catch(() => ({
      error: `The server failed (${answer.status}): the terminal of \`msavqa ui\` says why.`,
    }));
    if (found.error) {
      refuse(found.error);
      return;
    }
    found.scores.forEach((score, number) => card(score, number ? null : rated));
    difference(found.scores);
    $("film").src = found.film;
    timeline(found.scores[0].timeline, found.scores[0].change_threshold);
    $("results").hidden = false;
    play(file, found.scores[0].timeline);
  } catch {
    refuse("The server did not answer: is `msavqa ui` still running, and is the file within its limits?");
  } finally {
    $("go").disabled = false;
    $("state").textContent = "";
  }
}

function chosen() {
  const file = $("video").files[0];
  $("chosen").textContent = file ? `${file.name}, ${size(file.size)}` : "Drop a video here, or choose one";
}

let example = { file: null, prompt: "", mos: null };

async function choose(number, one) {
  const answer = await fetch(`/example/${number}`);
  if (!answer.ok) {
    refuse("The example is gone: choose another one.");
    return;
  }
  const file = new File([await answer.blob()], one.name, { type: answer.headers.get("content-type") });
  const data = new DataTransfer();
  data.items.add(file);
  $("video").files = data.files;
  $("prompt").value = one.prompt;
  $("second").value = "";
  example = { ...one, file: $("video").files[0] };
  chosen();
  $("ask").requestSubmit();
}

function offer(examples) {
  $("examples").hidden = examples.length === 0;
  examples.forEach((one, number) => {
    const button = put($("examples"), "button", one.prompt, "example");
    button.type = "button";
    button.addEventListener("click", () => choose(number, one));
  });
}

function about(limits) {
  if (limits.verdict) {
    $("verdict").textContent = limits.verdict.sentence;
    $("verdict").className = `verdict ${limits.verdict.level.replaceAll(" ", "-")}`;
    $("verdict").hidden = false;
  }
  const span = (ends) => [...new Set(ends.map((end) => Number(end.toPrecision(3))))].join(" to ");
  const known = [];
  if (limits.trained_seconds) known.push(`videos of ${span(limits.trained_seconds)} s`);
  if (limits.trained_pixels) known.push(`a short side of ${span(limits.trained_pixels)} px`);
  const [low, high] = limits.mos_range;
  $("about").textContent = `The model (${limits.model}) learned from the data set ${limits.dataset}, rated from ${low} to ` +
    `${high}${known.length ? `: it knows ${known.join(" with ")}` : ""}. Files of at most ${limits.mb} MB and ` +
    `${limits.seconds} s; nothing leaves this machine.`;
  offer(limits.examples);
}

async function start() {
  $("ask").addEventListener("submit", ask);
  $("video").addEventListener("change", chosen);
  $("timeline").addEventListener("click", seek);
  $("film").addEventListener("click", seek);
  $("player").addEventListener("timeupdate", follow);
  $("player").addEventListener("seeked", follow);
  $("player").addEventListener("error", () => {
    $("player").hidden = true;
    $("unplayable").hidden = false;
  });
  // A file dropped beside the zone must not take the page's place.
  for (const name of ["dragover", "drop"]) document.addEventListener(name, (event) => event.preventDefault());
  const drop = $("drop");
  drop.addEventListener("dragover", () => drop.classList.add("over"));
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    drop.classList.remove("over");
    if (event.dataTransfer.files.length) $("video").files = event.dataTransfer.files;
    chosen();
  });
  about(await (await fetch("/limits")).json());
}

start();
