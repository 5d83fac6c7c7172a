// Charts of a run, and the progress of one under way: asked for every two seconds, answers when there are more.
const NS = "http://www.w3.org/2000/svg";
const parsed = (id) => JSON.parse(byId(id).textContent);

function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== "") element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Round numbers from low to high, about five of them. */
function ticks(low, high) {
  const raw = (high - low) / 5 || 1, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((one) => one * power >= raw) * power;
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, i) => (first + i) * step);
}

const label = (value) => String(Number(value.toPrecision(4))).replace("-", "−");

function chart({ title, note, x, y, mark, lines }) {
  const [width, height, left, right, top, bottom] = [640, 280, 56, 12, 12, 40];
  const xs = lines.flatMap((line) => line.points.map((point) => point[0]));
  const ys = lines.flatMap((line) => [...line.points.map((point) => point[1]), ...line.band.flatMap(([, low, high]) => [low, high])]);
  let [low, high] = [Math.min(...ys), Math.max(...ys)];
  if (low === high) [low, high] = [low - 1, high + 1];
  const [from, to] = [Math.min(...xs), Math.max(...xs)];
  const px = (value) => left + (to > from ? (value - from) / (to - from) : 0.5) * (width - left - right);
  const py = (value) => height - bottom - (value - low) / (high - low) * (height - top - bottom);
  const at = (points) => points.map(([a, b]) => `${px(a).toFixed(1)},${py(b).toFixed(1)}`).join(" ");
  const arms = [...new Map(lines.map((line) => [line.arm, line])).values()];
  const dash = (line) => arms.findIndex((one) => one.arm === line.arm) >= 6 ? "dashed" : "";
  const drawn = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title}; the numbers are in the table below it` },
    ...ticks(low, high).flatMap((value) => [svg("line", { class: value === 0 ? "zero" : "grid", x1: left, x2: width - right, y1: py(value), y2: py(value) }),
      svg("text", { x: left - 6, y: py(value) + 4, "text-anchor": "end" }, label(value))]),
    ...ticks(from, to).filter(Number.isInteger).map((value) => svg("text", { x: px(value), y: height - bottom + 16, "text-anchor": "middle" }, label(value))),
    svg("line", { class: "axis", x1: left, x2: width - right, y1: height - bottom, y2: height - bottom }),
    svg("text", { x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, x),
    svg("text", { x: 12, y: (height - bottom) / 2, "text-anchor": "middle", transform: `rotate(-90 12 ${(height - bottom) / 2})` }, y),
    ...(mark === null ? [] : [svg("line", { class: "chosen", x1: px(mark), x2: px(mark), y1: top, y2: height - bottom })]),
    ...lines.filter((line) => line.band.length > 1).map((line) => svg("polygon", { class: line.look,
      points: at([...line.band.map(([a, b]) => [a, b]), ...line.band.map(([a, , b]) => [a, b]).reverse()]) })),
    ...lines.map((line) => svg("polyline", { class: `${line.look} ${dash(line)}${line.points.length < 3 ? " ends" : ""}`.trim(), points: at(line.points) }, svg("title", {}, line.name))),
    ...lines.filter((line) => line.points.length < 3).flatMap((line) => line.points.map(([a, b]) => svg("circle", { class: line.look, cx: px(a), cy: py(b), r: 4 }))));
  const legend = make("ul", { class: "legend-of" }, ...arms.map((line) => make("li", {},
    svg("svg", { viewBox: "0 0 32 12", "aria-hidden": "true" }, svg("polyline", { class: `${line.look} ${dash(line)}`.trim(), points: "0,6 32,6" })), line.arm)));
  const rows = lines.map((line) => make("tr", {}, make("th", { scope: "row" }, line.name), make("td", {}, line.points.map(([a, b]) => `${label(a)}: ${label(b)}`).join(", "))));
  const table = make("details", {}, make("summary", {}, "Numbers"), make("table", {}, make("tbody", {}, ...rows)));
  return make("figure", { class: "chart" }, make("h3", {}, title), drawn, legend, note ? make("p", { class: "note" }, note) : null, table);
}

function draw(charts) {
  for (const box of document.querySelectorAll(".charts")) {
    const kinds = box.dataset.charts.split(" ");
    const own = charts.filter((one) => one.lines.length && kinds.some((kind) => one.title.toLowerCase().startsWith(kind)));
    if (own.length) box.replaceChildren(...own.map(chart));
  }
}

// ---- a run under way ----

const lasts = (seconds) => seconds < 90 ? `${Math.round(seconds)} s` : seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${Math.floor(seconds / 3600)} h ${Math.round(seconds % 3600 / 60)} min`;

function showProgress(now) {
  const line = byId("progress-line");
  if (now.state === "finished") { line.textContent = "The study is finished: the whole page is being made."; location.reload(); return; }
  const work = now.at_work.length ? ` Under way: ${now.at_work.join(", ")}.` : "";
  const left = now.state === "running" && now.of ? ` About ${lasts(now.left)} left.` : "";
  const stopped = now.state === "stopped" ? " It is not running now; the same command goes on where it stopped." : "";
  const text = now.of ? `${now.done} of ${now.of} stages done, ${now.to_come} to come.${work}${left}${stopped}` : "The run has not begun its first stage.";
  if (line.textContent !== text) line.textContent = text;
  byId("progress-bar").value = now.of ? now.stages.reduce((sum, one) => sum + one.share, 0) / now.of : 0;
  const note = now.stages.filter((one) => one.state === "under way").map((one) => `${one.label}: ${Math.round(one.share * 100)}%${one.note ? ", " + one.note : ""}`).join("; ");
  byId("progress-news").textContent = now.silent > 60 && now.state === "running" ? `${note} (last sign of life ${lasts(now.silent)} ago)` : note;
  byId("stages").replaceChildren(...now.stages.map((one) => make("li", {}, one.label + " ",
    make("span", { class: "state" }, one.state + (one.seconds === null ? "" : `, ${lasts(one.seconds)}`) + (one.state === "failed" ? `: ${one.note}` : "")))));
}

async function follow(done) {
  try {
    const now = await (await fetch("progress.json")).json();
    showProgress(now);
    if (now.state === "finished") return;
    if (now.done !== done) {
      const data = await (await fetch("data.json")).json();
      draw(data.charts);
      offerNew(data.answers);
      done = now.done;
    }
  } catch (error) {
    byId("progress-news").textContent = "The server of this page does not answer any more.";
  }
  setTimeout(follow, 2000, done);
}

/** New answers wait for a click, so that nothing moves under a reader; the first ones are shown at once. */
function offerNew(store) {
  const groups = Object.keys(store.groups), fresh = groups.flatMap((group) => unpack(store, group, ""));
  const more = fresh.length - follow.shown, line = byId("new-answers");
  const show = () => { browser.replace(fresh, store, follow.shown === 0); follow.shown = fresh.length; line.hidden = true; };
  if (more <= 0) return;
  if (follow.shown === 0) { show(); return; }
  const button = make("button", { type: "button", class: "plain" }, "Show them");
  button.addEventListener("click", show);
  line.replaceChildren(`${counted(more)} new answer${more === 1 ? "" : "s"}. `, button);
  line.hidden = false;
}

draw(parsed("view-charts"));
{
  const store = parsed("view-answers"), now = parsed("view-progress");
  showAnswers(store, Object.keys(store.groups).map((group) => [group, ""]));
  follow.shown = Object.values(store.groups).reduce((sum, parts) => sum + parts[""].length, 0);
  if (now) {
    showProgress(now);
    if (location.protocol === "http:") follow(now.done);
  }
}
