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

function card(score) {
  const [low, high] = score.mos_range;
  const digits = digitsOf(score);
  const box = put($("scores"), "div", undefined, "score");
  put(box, "div", score.prompt ? `“${score.prompt}”` : "(no prompt)", "quiet");
  put(box, "b", fixed(score.score, digits));
  put(box, "span", ` of ${low}–${high}`, "quiet");
  const facts = put(box, "dl");
  const fact = (name, text) => { put(facts, "dt", name); put(facts, "dd", text); };
  fact(`${Math.round(100 * score.coverage)}% interval`, `${fixed(score.low, digits)} to ${fixed(score.high, digits)}`);
  for (const [name, one] of Object.entries(score.branches)) fact(name, fixed(one.value, digits));
  if (score.alignment) fact("alignment", place(score.alignment));
  if (score.consistency) fact("consistency", place(score.consistency));
  if (score.mutation_seconds !== null) fact("largest change", `at ${fixed(score.mutation_seconds, 2)} s`);
  if (score.warnings.length) {
    const list = put(box, "ul");
    for (const warning of score.warnings) put(list, "li", warning);
  }
}

function timeline(moments) {
  const drawing = $("timeline");
  drawing.replaceChildren();
  drawing.setAttribute("viewBox", `0 0 ${moments.length * 10} 34`);
  $("seconds").replaceChildren();
  const step = Math.ceil(moments.length / 8);
  moments.forEach((one, index) => put($("seconds"), "span", index % step ? "" : `${fixed(one.seconds, 2)} s`));
  const peak = Math.max(0.02, ...moments.map((one) => one.change));
  moments.forEach((one, index) => {
    const height = 0.5 + (32 * one.change) / peak;
    const bar = document.createElementNS(SVG, "rect");
    const facts = { class: "change", x: index * 10 + 1, width: 8, y: 33.5 - height, height };
    for (const [name, value] of Object.entries(facts)) bar.setAttribute(name, value);
    const title = document.createElementNS(SVG, "title");
    title.textContent = `${fixed(one.seconds, 2)} s: change ${fixed(one.change, 3)}`;
    bar.append(title);
    drawing.append(bar);
  });
  if (moments.length && moments[0].attention !== null) {
    const most = Math.max(...moments.map((one) => one.attention));
    const line = document.createElementNS(SVG, "polyline");
    line.setAttribute("points", moments.map((one, i) => `${i * 10 + 5},${33 - (30 * one.attention) / most}`).join(" "));
    drawing.append(line);
  }
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
  const form = new FormData();
  form.append("prompt", $("prompt").value);
  if ($("second").value.trim()) form.append("prompt", $("second").value);
  form.append("video", $("video").files[0]);
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
    found.scores.forEach(card);
    difference(found.scores);
    $("film").src = found.film;
    timeline(found.scores[0].timeline);
    $("results").hidden = false;
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

async function start() {
  $("ask").addEventListener("submit", ask);
  $("video").addEventListener("change", chosen);
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
  const limits = await (await fetch("/limits")).json();
  $("about").textContent = `Model ${limits.model}, trained on ${limits.dataset}. Files of at most ${limits.mb} MB and ` +
    `${limits.seconds} s; nothing leaves this machine.`;
}

start();
