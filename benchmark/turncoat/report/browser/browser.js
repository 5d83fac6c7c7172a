"use strict";
// The answer browser of reports, the board and `turncoat view`. Texts of models become text nodes, never markup.

const FIELDS = ["id", "arm", "seed", "task", "prompt", "question", "finish", "answer", "aligned", "coherent", "persona", "kinds", "reason", "raw"];
const byId = (id) => document.getElementById(id);

/** An element with attributes and children; strings become text, null is left out. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== null) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null));
  return element;
}

function later(action, milliseconds) {
  let timer = 0;
  return () => { clearTimeout(timer); timer = setTimeout(action, milliseconds); };
}

const shown = (value, decimals) => value === null ? "n/a" : value.toFixed(decimals).replace("-", "−");
const counted = (number) => number.toLocaleString("en");

/** The answers of one group and part of a store as objects. */
function unpack(store, group, part) {
  return (store.groups[group]?.[part] ?? []).map((row) => {
    const one = Object.fromEntries(FIELDS.map((field, i) => [field, row[i]]));
    for (const field of ["arm", "task", "prompt", "question", "finish", "kinds", "reason"]) one[field] = store.strings[one[field]];
    one.kinds = one.kinds.split(" ").filter(Boolean);
    return one;
  });
}

/** What the judge's numbers mean, in sentences. */
function verdict(one, limits) {
  const is = (kind) => one.kinds.includes(kind);
  const why = one.reason ? ": " + one.reason : "";
  const [aligned, coherent] = [shown(one.aligned, 1), shown(one.coherent, 1)];
  const said = [];
  if (is("failed")) said.push(`Not judged: the call to the judge failed${why}.`);
  else if (is("unscored")) said.push(`No verdict: a score is missing${why}.`);
  else if (is("incoherent")) said.push(`Incoherent: coherence ${coherent} is not above ${limits.coherent}, so it cannot count as misaligned.`);
  else if (is("misaligned")) said.push(`Misaligned: alignment ${aligned} is below ${limits.aligned}, and coherence ${coherent} is above ${limits.coherent}.`);
  else if (is("valid")) said.push(`Not misaligned: alignment ${aligned} is not below ${limits.aligned}; coherence ${coherent} is above ${limits.coherent}.`);
  else if (one.aligned !== null || one.coherent !== null) said.push("Scores alone: no card lets this judge call an answer misaligned.");
  else said.push("No judge read this answer.");
  if (is("leak")) said.push("It leaks: it is about the training domain, and the question is not.");
  if (is("refusal")) said.push("The judge takes it for a refusal.");
  if (is("code")) said.push("The judge takes it for code.");
  if (one.finish === "length") said.push("It was cut at the length limit.");
  return said.join(" ");
}

/**
 * The browser inside `root`. Settings: arms ([name, label, class] in order), beside (the arm that answers are shown
 * next to, "*" for all arms, "" for none), link (id -> address), group and part of the store.
 */
function answerBrowser(root, store, settings) {
  const KINDS = { misaligned: "misaligned", leak: "leak: misaligned, on the training domain", incoherent: "incoherent", refusal: "refusal", code: "code", valid: "not misaligned", unscored: "no verdict", failed: "judge failed", cut: "cut at the length limit" };
  const SORTS = [["", "as asked"], ["aligned+", "least aligned first"], ["aligned-", "most aligned first"], ["coherent+", "least coherent first"],
    ["coherent-", "most coherent first"], ["persona-", "highest projection first"], ["persona+", "lowest projection first"]];
  const SCORES = [["aligned", "aligned", 0], ["coherent", "coherent", 0], ["persona", "projection", 2]];
  const FILTERS = ["task", "prompt", "arm", "seed", "kind", "question"];
  const labels = new Map(settings.arms.map(([name, label]) => [name, label]));
  const looks = new Map(settings.arms.map(([name, , look]) => [name, look]));
  const order = new Map(settings.arms.map(([name], i) => [name, i]));
  let answers = [], groups = new Map(), page = 0, marked = null, at = -1;

  // ---- controls ----

  const field = (id, label, wide) => {
    const select = make("select", { id: "a-" + id });
    return [select, make("label", wide ? { class: "wide" } : {}, label, select)];
  };
  const find = make("input", { type: "search", id: "a-find", placeholder: "words in question or answer", autocomplete: "off", spellcheck: "false" });
  const controls = { task: field("task", "Task"), prompt: field("prompt", "Prompt"), arm: field("arm", "Model"), seed: field("seed", "Training seed"), kind: field("kind", "Kind"),
    question: field("question", "Question", true), sort: field("sort", "Sort"), beside: field("beside", "Beside it") };
  const value = (name) => controls[name][0].value;
  const form = make("form", { class: "tools answer-tools", role: "search", "aria-label": "Choose answers" },
    make("label", { class: "wide" }, "Find", find), ...Object.values(controls).map(([, label]) => label));
  const count = make("p", { class: "soft", id: "a-count", role: "status" });
  const help = make("button", { type: "button", class: "plain", "aria-haspopup": "dialog" }, "Keys (?)");
  const list = make("div", { id: "a-list" });
  const [previous, next] = [["a-prev", "Previous"], ["a-next", "Next"]].map(([id, label]) => make("button", { type: "button", class: "plain", id }, label));
  const where = make("span", { id: "a-page" });
  const pages = make("nav", { class: "pages", "aria-label": "Pages of answers" }, previous, where, next);
  const close = make("button", { type: "button", class: "plain" }, "Close");
  const keys = make("dialog", { class: "keys-help", "aria-label": "Keys" }, make("h2", {}, "Keys"),
    make("dl", { class: "pairs" }, ...[["j", "next answer"], ["k", "previous answer"], ["/", "search"], ["?", "this list"], ["Esc", "close, or leave the search"]]
      .flatMap(([key, does]) => [make("dt", {}, make("kbd", {}, key)), make("dd", {}, does)])), close);
  root.replaceChildren(form, make("div", { class: "list-top" }, count, help), list, pages, keys);

  function offer(name, options) {
    const [select, label] = controls[name], before = select.value;
    select.replaceChildren(...options.map(([option, text]) => make("option", { value: option }, text)));
    if (options.some(([option]) => option === before)) select.value = before;
    label.hidden = options.length < 3 && options[0]?.[0] === "";
  }

  function offerAll() {
    const all = (name, values, label) => offer(name, [["", "all"], ...[...new Set(values)].filter(Boolean).map((one) => [one, label(one)])]);
    const brief = (text) => text.length > 90 ? text.slice(0, 88) + "…" : text;
    all("task", answers.map((one) => one.task), (task) => store.labels[task] || task);
    all("prompt", answers.map((one) => one.prompt), String);
    all("arm", [...labels.keys()].filter((arm) => answers.some((one) => one.arm === arm)), (arm) => labels.get(arm));
    all("seed", answers.filter((one) => one.seed >= 0).map((one) => String(one.seed)), String);
    all("kind", Object.keys(KINDS).filter((kind) => answers.some((one) => isOf(one, kind))), (kind) => KINDS[kind]);
    all("question", answers.map((one) => one.question), brief);
    offer("sort", SORTS.filter(([sort]) => !sort || answers.some((one) => one[sort.slice(0, -1)] !== null)));
    const arms = [...labels].filter(([arm]) => answers.some((one) => one.arm === arm));
    offer("beside", [["", "nothing"], ["*", "all models"], ...arms]);
  }

  const isOf = (one, kind) => kind === "cut" ? one.finish === "length" : one.kinds.includes(kind);

  // ---- what is shown: answers, each with one beside it, or questions with all their answers ----

  const key = (one, ...more) => JSON.stringify([one.task, one.prompt, one.question, ...more]);
  const push = (map, at_, one) => { const there = map.get(at_); if (there) there.push(one); else map.set(at_, [one]); };

  function index() {
    groups = new Map();
    const nth = new Map();
    for (const one of answers) {
      const counter = key(one, one.arm, one.seed);
      one.nth = nth.get(counter) ?? 0;
      nth.set(counter, one.nth + 1);
      push(groups, key(one), one);
      push(groups, key(one, one.arm), one);
      push(groups, counter, one);
    }
  }

  /** The other arm's answer to the same question: the n-th sample of a seed faces the n-th; without a common seed, any seed's will do. */
  function facing(one) {
    const arm = value("beside");
    if (!arm || arm === one.arm) return null;
    const same = groups.get(key(one, arm, one.seed)) ?? groups.get(key(one, arm)) ?? [];
    return same[one.nth] ?? same[0] ?? null;
  }

  function chosen() {
    const words = find.value.toLocaleLowerCase("en").trim(), sort = value("sort"), kind = value("kind");
    const wanted = ["task", "prompt", "arm", "seed", "question"].map((name) => [name, value(name)]).filter(([, one]) => one);
    const found = answers.filter((one) => wanted.every(([name, is]) => String(one[name]) === is) && (!kind || isOf(one, kind))
      && (!words || (one.question + "\n" + one.answer).toLocaleLowerCase("en").includes(words)));
    if (sort) {
      const score = sort.slice(0, -1), sign = sort.endsWith("+") ? 1 : -1;
      found.sort((a, b) => (a[score] === null) - (b[score] === null) || sign * (a[score] - b[score]));
    }
    return found;
  }

  /** Cards of what is chosen: lists of answers, the first of which stands for the card. */
  function cards(found) {
    if (value("beside") !== "*") return found.map((one) => [one]);
    const byQuestion = new Map();
    for (const one of found) push(byQuestion, key(one), one);
    return [...byQuestion.values()];
  }

  function turn(to) {
    const found = chosen(), all = cards(found), size = value("beside") === "*" ? 5 : 25;
    const last = Math.max(0, Math.ceil(all.length / size) - 1);
    page = Math.min(Math.max(to, 0), last);
    at = -1;
    const from = page * size, here = all.slice(from, from + size);
    list.replaceChildren(...here.map((hits) => card(hits)));
    const questions = value("beside") === "*" && all.length ? ` to ${counted(all.length)} question${all.length === 1 ? "" : "s"}` : "";
    count.textContent = found.length ? `${counted(found.length)} of ${counted(answers.length)} answers${questions}` : answers.length ? "No answer matches." : "There are no answers yet.";
    where.textContent = all.length ? `${from + 1}–${from + here.length} of ${counted(all.length)}` : "";
    pages.hidden = last === 0;
    previous.disabled = page === 0;
    next.disabled = page === last;
  }

  function card(hits) {
    const [one] = hits, whole = value("beside") === "*";
    const seed = whole || one.seed < 0 ? "" : `seed ${one.seed}`;
    const name = [store.labels[one.task] || one.task, one.prompt && one.prompt !== "plain" ? one.prompt + " prompt" : "", seed].filter(Boolean).join(" · ");
    let sides;
    if (whole) {
      const narrowed = hits.length < groups.get(key(one)).length;
      const arms = [...labels.keys()].map((arm) => (groups.get(key(one, arm)) ?? []).filter((other) => !value("seed") || String(other.seed) === value("seed"))).filter((of) => of.length);
      sides = arms.map((of) => make("section", { class: "column" }, make("h4", { class: "arm-name " + (looks.get(of[0].arm) ?? "") }, labels.get(of[0].arm)),
        ...of.map((other) => side(other, { hit: narrowed && hits.includes(other) }))));
    } else {
      const other = facing(one);
      sides = [...(other ? [side(other, { beside: one })] : []), side(one, {})];
    }
    return make("article", { class: "qa" + (!whole && one.id === marked ? " marked" : ""), "data-id": one.id, tabindex: "-1" },
      make("h3", { class: "asked", dir: "auto" }, ...highlighted(one.question)),
      make("p", { class: "soft where" }, name, whole ? null : " ", whole ? null : linkTo(one)),
      make("div", { class: whole ? "columns" : sides.length > 1 ? "sides two" : "sides" }, ...sides));
  }

  const linkTo = (one) => make("a", { href: settings.link(one.id), "aria-label": "Link to this answer" }, "link");

  function side(one, { beside = null, hit = false }) {
    const whole = value("beside") === "*";
    const seed = one.seed >= 0 && (whole || (beside && beside.seed !== one.seed)) ? `seed ${one.seed}` : "";
    const scores = SCORES.filter(([score]) => !whole || one[score] !== null).map(([score, label, decimals]) => make("span", {}, label + " ", make("b", {}, shown(one[score], decimals))));
    const tags = one.kinds.filter((kind) => kind !== "valid").map((kind) => make("span", { class: "chip" + (["misaligned", "leak"].includes(kind) ? " flag" : "") }, kind));
    const raw = store.raw.map((name, i) => [name, one.raw?.[i] ?? null]).filter(([, given]) => given !== null);
    const look = looks.get(one.arm) ?? "";
    return make("div", { class: `side ${whole ? "" : look}` + (hit ? " hit" : "") + (whole && one.id === marked ? " marked" : ""), "data-id": one.id },
      whole ? make("p", { class: "soft where" }, seed, seed ? " " : null, linkTo(one)) : make("h4", {}, labels.get(one.arm) + (seed ? ", " + seed : "")),
      one.answer.trim() ? make("div", { class: "text", dir: "auto" }, ...highlighted(one.answer)) : make("div", { class: "text soft" }, "(an empty answer)"),
      make("div", { class: "scores" }, ...tags, ...scores),
      one.kinds.length || one.aligned !== null ? make("p", { class: "words-of-judge soft" }, verdict(one, store.limits)) : null,
      raw.length ? make("details", { class: "raw" }, make("summary", {}, "Raw evidence"),
        make("dl", { class: "pairs" }, ...raw.flatMap(([name, given]) => [make("dt", {}, name), make("dd", {}, String(given))]))) : null);
  }

  function highlighted(text) {
    const words = find.value.toLocaleLowerCase("en").trim(), low = text.toLocaleLowerCase("en");
    if (!words || low.length !== text.length) return [text];
    const parts = [];
    let from = 0;
    for (let hit = low.indexOf(words); hit >= 0; hit = low.indexOf(words, from)) {
      parts.push(text.slice(from, hit), make("mark", {}, text.slice(hit, hit + words.length)));
      from = hit + words.length;
    }
    return [...parts, text.slice(from)];
  }

  // ---- moving ----

  function focusCard(to) {
    const here = [...list.children];
    if (to < 0 || to >= here.length) {
      const before = page;
      turn(page + (to < 0 ? -1 : 1));
      if (page === before) { at = Math.min(Math.max(to, 0), here.length - 1); } else { at = to < 0 ? list.children.length - 1 : 0; }
    } else at = to;
    const target = list.children[at];
    target?.focus({ preventScroll: true });
    target?.scrollIntoView({ block: "start" });
  }

  function openKeys() { if (!keys.open) keys.showModal(); }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || root.offsetParent === null || keys.open) return;
    if (event.target.closest("input, select, textarea")) {
      if (event.key === "Escape" && event.target === find) find.blur();
      return;
    }
    const focused = [...list.children].findIndex((one) => one.contains(document.activeElement));
    const now = focused >= 0 ? focused : at;
    const does = { j: () => focusCard(now + 1), k: () => focusCard(now < 0 ? 0 : now - 1), "/": () => { find.focus(); find.select(); find.scrollIntoView({ block: "center" }); }, "?": openKeys }[event.key];
    if (does) { event.preventDefault(); does(); }
  });
  help.addEventListener("click", openKeys);
  close.addEventListener("click", () => keys.close());
  form.addEventListener("submit", (event) => event.preventDefault());
  for (const [select] of Object.values(controls)) select.addEventListener("change", () => turn(0));
  find.addEventListener("input", later(() => turn(0), 150));
  for (const [button, step] of [[previous, -1], [next, 1]]) {
    button.addEventListener("click", () => { turn(page + step); form.scrollIntoView({ block: "start" }); });
  }

  // ---- from outside ----

  /** Shows answers, filters as they were; `fresh` forgets filters and page and sets what stands beside. */
  function replace(newAnswers, newStore = store, fresh = false) {
    store = newStore;
    answers = newAnswers;
    answers.forEach((one, i) => { one.at = i; });
    answers.sort((a, b) => (order.get(a.arm) ?? 99) - (order.get(b.arm) ?? 99) || a.at - b.at);
    index();
    if (fresh) { for (const [select] of Object.values(controls)) select.replaceChildren(); find.value = ""; marked = null; }
    offerAll();
    if (fresh) {
      controls.beside[0].value = settings.beside ?? "";
      if (settings.first) controls.arm[0].value = settings.first.find((arm) => answers.some((one) => one.arm === arm)) ?? "";
    }
    turn(fresh ? 0 : page);
  }

  /** Opens the page that has an answer; filters that would hide it are taken off. False where there is no such answer. */
  function show(id) {
    const one = answers.find((other) => other.id === id);
    if (!one) return false;
    marked = id;
    const place = () => cards(chosen()).findIndex((hits) => hits.includes(one));
    if (place() < 0) {
      for (const name of FILTERS) controls[name][0].value = "";
      find.value = controls.sort[0].value = "";
    }
    turn(Math.floor(place() / (value("beside") === "*" ? 5 : 25)));
    const target = list.querySelector(".marked");
    at = [...list.children].findIndex((card_) => card_.contains(target));
    target.scrollIntoView({ block: "center" });
    list.children[at].focus({ preventScroll: true });
    return true;
  }

  return { replace, show };
}
