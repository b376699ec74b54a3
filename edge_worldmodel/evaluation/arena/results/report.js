"use strict";
// Filter: hides what belongs to another scenario, planner or ending.
const filters = ["scenario", "planner", "ending"].map(key => [key, document.getElementById("by-" + key)]);
const MOST_ROWS = 200;

function fits(values) {
  return filters.every(([key, select]) => !select.value || values[key] === undefined || values[key] === select.value);
}

function applyFilter() {
  for (const element of document.querySelectorAll("[data-scenario], [data-planner], [data-ending]"))
    element.hidden = !fits(element.dataset);
  const chosen = filters[0][1].value;
  for (const details of document.querySelectorAll(".scenario")) if (details.dataset.scenario === chosen) details.open = true;
  for (const report of document.querySelectorAll(".report")) {
    const shown = report.querySelectorAll("figure:not([hidden])").length;
    const none = report.querySelector(".none");
    if (none) none.hidden = shown > 0;
    listEpisodes(report);
  }
}

function listEpisodes(report) {
  const data = report.querySelector(".rows-of-episodes");
  if (!data) return;
  data.rows ??= JSON.parse(data.textContent);
  const rows = data.rows.filter(([scenario, planner, , ending]) => fits({scenario, planner, ending}));
  const body = report.querySelector(".episodes tbody");
  body.replaceChildren(...rows.slice(0, MOST_ROWS).map(row => {
    const line = document.createElement("tr");
    row.forEach((value, i) => {
      const cell = line.insertCell();
      cell.textContent = value === null || value === "" ? "–" : i === 6 ? (value ? "yes" : "no") : value;
      if ([1, 3, 4, 5].includes(i)) cell.className = i === 3 ? "text " + value : "text";
    });
    return line;
  }));
  const more = rows.length > MOST_ROWS ? `, the first ${MOST_ROWS} are listed` : "";
  report.querySelector(".count").textContent = `${rows.length} episodes fit the filter${more}; failures come first.`;
}

for (const [, select] of filters) select.addEventListener("change", applyFilter);
document.getElementById("clear").addEventListener("click", () => {
  for (const [, select] of filters) select.value = "";
  applyFilter();
});
for (const radio of document.querySelectorAll(".measure"))
  radio.addEventListener("change", () => {
    radio.closest(".report").querySelector(".panels").dataset.measure = radio.value;
  });
for (const select of document.querySelectorAll(".versus"))
  select.addEventListener("change", () => {
    for (const chart of select.closest(".report").querySelectorAll(".paired"))
      chart.hidden = chart.dataset.versus !== select.value;
  });

// Animations: each draws one recorded failure on its canvas.
const SPEED = 2, PAUSE_S = 1.5, ABSENT = -32768;

function hundredths(text) {
  const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Array.from({length: bytes.length / 2}, (_, i) => view.getInt16(2 * i, true));
}

class Replay {
  constructor(figure) {
    this.canvas = figure.querySelector("canvas");
    this.touchedPerson = figure.dataset.touched === "person";
    [this.button, this.slider, this.clock] = ["button", "input", "output"].map(name => figure.querySelector(name));
    const data = this.data = JSON.parse(figure.querySelector("script").textContent);
    data.robot = hundredths(data.robot);
    data.people = hundredths(data.people);
    if (data.scenes) {
      data.scene = hundredths(data.scene);
      data.plans = hundredths(data.plans);
      this.picture = new Image();
      this.picture.onload = () => this.draw();
      this.picture.src = data.scenes;
    }
    this.moment = this.last = data.times.length - 1;
    this.playing = false;
    this.slider.max = this.last;
    this.button.addEventListener("click", () => this.playing ? this.pause() : this.play());
    this.slider.addEventListener("input", () => {
      this.pause();
      this.moment = +this.slider.value;
      this.draw();
    });
    this.draw();
  }

  play() {
    this.playing = true;
    this.button.textContent = "❚❚";
    let before = null, shown_s = this.moment < this.last ? this.data.times[this.moment] : 0;
    const step = now => {
      if (!this.playing) return;
      if (before !== null) shown_s += SPEED * (now - before) / 1000;
      before = now;
      const end_s = this.data.times[this.last];
      if (shown_s > end_s + SPEED * PAUSE_S) shown_s = 0;
      const moment = this.data.times.findLastIndex(time => time <= shown_s);
      if (moment !== this.moment) {
        this.moment = Math.max(moment, 0);
        this.draw();
      }
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  pause() {
    this.playing = false;
    this.button.textContent = "▶";
  }

  draw() {
    const {data, moment, canvas} = this;
    this.slider.value = moment;
    this.clock.textContent = data.times[moment].toFixed(1) + " s";
    const side = Math.round(canvas.clientWidth * (window.devicePixelRatio || 1)) || 300;
    if (canvas.width !== side) canvas.width = canvas.height = side;
    const style = getComputedStyle(document.documentElement);
    const colour = name => style.getPropertyValue("--" + name).trim();
    const c = canvas.getContext("2d"), scale = side / (2 * data.half);
    const place = () => c.setTransform(scale, 0, 0, -scale, side / 2 - scale * data.centre[0], side / 2 + scale * data.centre[1]);
    c.setTransform(1, 0, 0, 1, 0, 0);
    c.clearRect(0, 0, side, side);
    place();
    this.drawScene(c, colour, place);
    const outline = points => {
      c.beginPath();
      points.forEach(([x, y]) => c.lineTo(x, y));
      c.closePath();
      c.fill();
    };
    const disc = (x, y, radius) => {
      c.beginPath();
      c.arc(x, y, radius, 0, 2 * Math.PI);
      c.fill();
    };
    c.fillStyle = colour("wall");
    data.walls.forEach(outline);
    c.fillStyle = colour("good");
    disc(...data.goal, 0.18);
    const [x, y, yaw] = data.robot.slice(3 * moment, 3 * moment + 3).map(value => value / 100);
    const reach = Math.max(...data.footprint.map(corner => Math.hypot(...corner))) + 0.1;
    data.radii.forEach((radius, i) => {
      const at = 2 * (moment * data.radii.length + i);
      if (data.people[at] === ABSENT) return;
      const [px, py] = [data.people[at] / 100, data.people[at + 1] / 100];
      const touches = this.touchedPerson && moment === this.last && Math.hypot(px - x, py - y) < radius + reach;
      c.fillStyle = colour(touches ? "bad" : "incumbent");
      disc(px, py, radius);
    });
    c.strokeStyle = colour("ours");
    c.lineWidth = 0.06;
    c.beginPath();
    for (let i = 0; i <= moment; i++) c.lineTo(data.robot[3 * i] / 100, data.robot[3 * i + 1] / 100);
    c.stroke();
    c.translate(x, y);
    c.rotate(yaw);
    c.fillStyle = colour(moment === this.last ? "bad" : "ours");
    outline(data.footprint);
    c.strokeStyle = colour("text");
    c.beginPath();
    c.moveTo(0, 0);
    c.lineTo(Math.max(...data.footprint.map(corner => corner[0])), 0);
    c.stroke();
  }

  drawScene(c, colour, place) {
    const {data, moment} = this;
    const scene = data.scenes ? data.scene[moment] : -1;
    if (scene < 0 || !this.picture.complete) return;
    const [x, y, yaw] = data.scenePoses[scene], half = data.sceneSize / 2, cells = this.picture.width / 16;
    c.translate(x, y);
    c.rotate(yaw);
    c.globalAlpha = 0.75;
    // Rows of the picture run along y, as on the canvas after its y axis was turned upwards.
    c.drawImage(this.picture, cells * (scene % 16), cells * Math.floor(scene / 16), cells, cells, -half, -half, 2 * half, 2 * half);
    c.globalAlpha = 1;
    place();
    c.strokeStyle = colour("imagined");
    c.lineWidth = 0.08;
    c.setLineDash([0.15, 0.12]);
    c.beginPath();
    for (let i = scene * data.planLength; i < (scene + 1) * data.planLength; i++)
      c.lineTo(data.plans[2 * i] / 100, data.plans[2 * i + 1] / 100);
    c.stroke();
    c.setLineDash([]);
  }
}

for (const button of document.querySelectorAll(".play-all"))
  button.addEventListener("click", () => {
    const playing = [...replays.values()].some(replay => replay.playing);
    for (const replay of replays.values()) if (playing) replay.pause(); else if (replay.inSight) replay.play();
  });

// A replay is unpacked when it comes into sight and pauses out of sight.
const replays = new Map();
const seen = new IntersectionObserver(entries => {
  for (const {target, isIntersecting} of entries) {
    if (isIntersecting && !replays.has(target)) replays.set(target, new Replay(target));
    const replay = replays.get(target);
    if (replay) replay.inSight = isIntersecting;
    if (replay && !isIntersecting) replay.pause();
  }
}, {rootMargin: "200px"});
for (const figure of document.querySelectorAll("figure")) seen.observe(figure);
const drawAll = () => replays.forEach(replay => replay.draw());
window.addEventListener("resize", drawAll);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
applyFilter();
