"use strict";
{
  // The tables and details are in the page already; this sorts, filters and opens them, and makes the list of answers.
  const PAGE = 25;
  const ROLES = { defended: "with this defence", organism: "no defence", control: "harmless control", base: "base model", benign: "benign" };
  const SCORES = [["aligned", "aligned", 0], ["coherent", "coherent", 0], ["persona", "projection", 2]]; // field, label, decimals
  const byId = (id) => document.getElementById(id);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const tools = byId("tools"), panel = byId("panel");
  const boards = all("section.board");
  document.documentElement.classList.add("js");
  tools.hidden = false;

  /** An element with attributes and children; strings become text, never markup. */
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

  // ---- where we are: #board=..&entry=..&answer=.. ----

  function place() {
    const asked = new URLSearchParams(location.hash.slice(1));
    const board = boards.find((one) => one.dataset.board === asked.get("board"));
    return { board, entry: asked.get("entry"), answer: asked.get("answer") };
  }

  function link(board, entry = null, answer = null) {
    const code = (text) => encodeURIComponent(text).replaceAll("%2F", "/");
    return "#board=" + code(board) + (entry === null ? "" : "&entry=" + code(entry)) + (answer === null ? "" : "&answer=" + code(answer));
  }

  let current = boards[0];

  function showBoard(board) {
    current = board;
    for (const one of boards) one.hidden = one !== board;
    const picker = byId("pick-board");
    if (picker) {
      // A link may lead to a board that the filters above hide: the filters give way.
      for (const name of ["model", "organism"]) {
        const filter = byId("pick-" + name);
        if (filter.value !== "" && filter.value !== board.dataset[name]) filter.value = "";
      }
      offerBoards();
      picker.value = board.dataset.board;
    }
    filterRows();
    fit();
  }

  const matching = () => boards.filter((one) => ["model", "organism"].every((name) => {
    const wanted = byId("pick-" + name).value;
    return wanted === "" || one.dataset[name] === wanted;
  }));

  function offerBoards() {
    const offered = new Set(matching().map((one) => one.dataset.board));
    for (const option of byId("pick-board").options) option.disabled = option.hidden = !offered.has(option.value);
  }

  function narrow(changed) {
    if (!matching().length) byId(changed === "model" ? "pick-organism" : "pick-model").value = "";
    offerBoards();
    const left = matching();
    if (!left.includes(current)) location.hash = link(left[0].dataset.board);
  }

  /** A table that fits needs no scroller of its own, and its heading can stick to the window instead. */
  function fit() {
    const scroller = current?.querySelector(".scroll");
    if (!scroller) return;
    const fits = scroller.firstElementChild.offsetWidth <= scroller.clientWidth;
    scroller.classList.toggle("fits", fits);
    scroller.tabIndex = fits ? -1 : 0;
  }

  // ---- the table ----

  for (const body of all("section.board tbody")) all("tr.entry", body).forEach((row, i) => { row.dataset.order = i; });

  function sortBy(head) {
    const table = head.closest("table"), { col, kind, first } = head.dataset;
    const other = first === "ascending" ? "descending" : "ascending";
    const direction = head.ariaSort === first ? other : first;
    for (const one of all("th[aria-sort]", table)) one.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", direction);
    const sign = direction === "ascending" ? 1 : -1;
    const raw = (row) => row.querySelector(`:scope > [data-col="${CSS.escape(col)}"]`).dataset.v;
    const compare = kind === "text" ? (a, b) => a.localeCompare(b, "en") : (a, b) => Number(a) - Number(b);
    for (const body of table.tBodies) {
      const rows = all("tr.entry", body).map((row) => ({ row, key: raw(row), order: Number(row.dataset.order) }));
      // Rows without a value stay last in both directions; equal ones stay in rank order.
      rows.sort((a, b) => (a.key === "") - (b.key === "") || sign * compare(a.key, b.key) || a.order - b.order);
      body.append(...rows.map((one) => one.row));
    }
  }

  for (const head of all("th[data-col] > button")) head.addEventListener("click", () => sortBy(head.parentElement));
  for (const head of all('thead th[data-col="rank"]')) head.setAttribute("aria-sort", "ascending");

  function filterRows() {
    if (!current) return;
    const words = byId("find").value.toLocaleLowerCase("en").split(/\s+/).filter(Boolean);
    const [setting, kind, trust] = ["setting", "kind", "trust"].map((id) => byId(id).value);
    let shown = 0;
    const rows = all("tr.entry", current);
    for (const row of rows) {
      const { slug, setting: when, kind: what, trust: who } = row.dataset;
      const name = (row.querySelector(".name").dataset.v + " " + slug).toLocaleLowerCase("en");
      const fits = words.every((word) => name.includes(word)) && (!setting || setting === when) && (!trust || trust === who)
        && (!kind || (kind === "canary") === (what === "canary"));
      row.hidden = !fits;
      shown += fits;
    }
    for (const body of all("tbody", current)) body.hidden = !body.querySelector("tr.entry:not([hidden])");
    byId("count").textContent = shown === rows.length ? `${shown} entries` : `${shown} of ${rows.length} entries`;
    current.querySelector(".none").hidden = shown > 0;
  }

  byId("find").addEventListener("input", later(filterRows, 120));
  for (const id of ["setting", "kind", "trust"]) byId(id).addEventListener("change", filterRows);
  for (const button of all("button.clear")) {
    button.addEventListener("click", () => {
      byId("find").value = "";
      for (const id of ["setting", "kind", "trust"]) byId(id).value = "";
      filterRows();
      byId("find").focus();
    });
  }
  for (const form of all("form")) form.addEventListener("submit", (event) => event.preventDefault());
  byId("pick-board")?.addEventListener("change", (event) => { location.hash = link(event.target.value); });
  for (const name of ["model", "organism"]) byId("pick-" + name)?.addEventListener("change", () => narrow(name));

  // The whole row opens the entry for a pointer; the link in it does so for the keyboard.
  for (const row of all("tr.entry")) {
    row.addEventListener("click", (event) => {
      if (!event.target.closest("a, button") && !String(getSelection())) row.querySelector(".name a").click();
    });
  }

  // ---- the panel ----

  let opened = null; // the <article> that was lent to the panel, and where it came from

  function giveBack() {
    if (!opened) return;
    opened.home.replaceWith(opened.article);
    opened = null;
  }

  function openEntry(board, slug, answer) {
    const is = (one) => one.dataset.slug === slug;
    const row = all("tr.entry", board).find(is);
    if (!row) return false;
    if (opened?.article.dataset.slug !== slug || opened.board !== board) {
      giveBack();
      const article = all("article.facts", board).find(is), home = make("span", { hidden: "" });
      article.replaceWith(home);
      opened = { article, home, board, row };
      byId("panel-title").textContent = row.querySelector(".name").dataset.v;
      byId("pane-facts").replaceChildren(article);
      startAnswers();
      showTab("facts");
    }
    if (!panel.open) panel.showModal();
    if (answer !== null) showAnswer(answer);
    return true;
  }

  function showTab(name) {
    for (const one of ["facts", "answers"]) {
      const tab = byId("tab-" + one), chosen = one === name;
      tab.setAttribute("aria-selected", chosen);
      tab.tabIndex = chosen ? 0 : -1;
      byId("pane-" + one).hidden = !chosen;
    }
    panel.scrollTop = 0;
  }

  for (const name of ["facts", "answers"]) {
    const tab = byId("tab-" + name);
    tab.addEventListener("click", () => showTab(name));
    tab.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
      const other = name === "facts" ? "answers" : "facts";
      if (byId("tab-" + other).disabled) return;
      showTab(other);
      byId("tab-" + other).focus();
    });
  }
  byId("close").addEventListener("click", () => panel.close());
  panel.addEventListener("click", (event) => { if (event.target === panel) panel.close(); }); // the backdrop
  panel.addEventListener("close", () => {
    const link_ = opened?.row.querySelector(".name a");
    giveBack();
    if (place().entry !== null) location.hash = link(current.dataset.board);
    link_?.focus({ preventScroll: true });
  });

  // ---- answers: rows of [id, role, seed, task, prompt, question, finish, answer, aligned, coherent, persona] ----

  let store = null; // parsed when first needed

  function answersOf(board, slug) {
    store ??= JSON.parse(byId("answers").textContent);
    const rows = store.boards[board]?.[slug] ?? [];
    return rows.map((row) => {
      const [role, task, prompt, question, finish] = [1, 3, 4, 5, 6].map((i) => store.strings[row[i]]);
      return { id: row[0], slug, role, seed: row[2], task, prompt, question, finish, answer: row[7], aligned: row[8], coherent: row[9], persona: row[10] };
    });
  }

  let answers = [], partners = new Map(), page = 0, marked = null;
  const pairKey = (one, seed) => JSON.stringify([one.task, one.prompt, one.question, seed]);

  /** An entry's own answers, and for roles that it shares those of the entry that stores them. */
  function startAnswers() {
    const board = opened.board.dataset.board, { slug } = opened.row.dataset;
    answers = answersOf(board, slug);
    const own = new Set(answers.map((one) => one.role));
    const roles = own.size ? ["organism", "control", "base"].filter((role) => !own.has(role)) : [];
    const lender = all("tr.entry", opened.board).find((one) => one.dataset.setting === "none" && one.dataset.kind !== "canary");
    const shared = JSON.parse(opened.row.dataset.shared);
    for (const role of roles) {
      const from = shared[role] ?? (role === "organism" ? lender?.dataset.slug : undefined);
      if (from && from !== slug) answers.push(...answersOf(board, from).filter((one) => one.role === role));
    }
    partners = new Map();
    const nth = new Map();
    for (const one of answers) {
      // The n-th sample of a question faces the n-th; without a common seed, any seed's will do.
      const counter = one.role + pairKey(one, one.seed);
      one.nth = nth.get(counter) ?? 0;
      nth.set(counter, one.nth + 1);
      if (one.role !== "organism") continue;
      for (const key of [pairKey(one, one.seed), pairKey(one, "any")]) partners.set(key, [...(partners.get(key) ?? []), one]);
    }
    const tab = byId("tab-answers");
    tab.textContent = answers.length ? `Answers (${answers.length.toLocaleString("en")})` : "No answers";
    tab.disabled = !answers.length;
    offer("a-task", answers.map((one) => one.task), (task) => store.labels[task] ?? task);
    offer("a-prompt", answers.map((one) => one.prompt), String);
    offer("a-role", answers.map((one) => one.role), (role) => ROLES[role] ?? role);
    offer("a-seed", answers.map((one) => String(one.seed)), String);
    byId("a-role").value = ["defended", "organism", "base"].find((role) => answers.some((one) => one.role === role)) ?? "";
    byId("a-find").value = byId("a-sort").value = "";
    marked = null;
    turn(0);
  }

  function offer(id, values, label) {
    const options = [...new Set(values)].map((value) => make("option", { value }, label(value)));
    byId(id).replaceChildren(make("option", { value: "" }, "all"), ...options);
  }

  function chosen() {
    const [task, prompt, role, seed, sort] = ["a-task", "a-prompt", "a-role", "a-seed", "a-sort"].map((id) => byId(id).value);
    const words = byId("a-find").value.toLocaleLowerCase("en").trim();
    const found = answers.filter((one) => (!task || one.task === task) && (!prompt || one.prompt === prompt) && (!role || one.role === role)
      && (!seed || String(one.seed) === seed) && (!words || (one.question + "\n" + one.answer).toLocaleLowerCase("en").includes(words)));
    if (sort) {
      const field = sort.slice(0, -1), sign = sort.endsWith("+") ? 1 : -1;
      found.sort((a, b) => (a[field] === null) - (b[field] === null) || sign * (a[field] - b[field]));
    }
    return found;
  }

  function turn(to) {
    const found = chosen(), last = Math.max(0, Math.ceil(found.length / PAGE) - 1);
    page = Math.min(Math.max(to, 0), last);
    const from = page * PAGE, shown = found.slice(from, from + PAGE);
    byId("a-list").replaceChildren(...shown.map(card));
    byId("a-count").textContent = found.length ? `${found.length.toLocaleString("en")} of ${answers.length.toLocaleString("en")} answers` : "No answer matches.";
    byId("a-page").textContent = found.length ? `${from + 1}–${from + shown.length} of ${found.length.toLocaleString("en")}` : "";
    byId("a-pages").hidden = last === 0;
    byId("a-prev").disabled = page === 0;
    byId("a-next").disabled = page === last;
  }

  function card(one) {
    let facing = null;
    if (one.role !== "organism") {
      const same = partners.get(pairKey(one, one.seed)) ?? partners.get(pairKey(one, "any")) ?? [];
      facing = same[one.nth] ?? same[0] ?? null;
    }
    const { board } = opened;
    const name = [store.labels[one.task] ?? one.task, one.prompt ? one.prompt + " prompt" : "", `seed ${one.seed}`].filter(Boolean).join(" · ");
    return make("article", { class: "qa" + (one.id === marked ? " marked" : ""), "data-id": one.id },
      make("p", { class: "asked" }, ...highlighted(one.question)),
      make("p", { class: "soft where" }, name, " ",
        make("a", { href: link(board.dataset.board, opened.row.dataset.slug, one.id) }, "link")),
      make("div", { class: "sides" + (facing ? " two" : "") }, facing ? side(facing, one) : null, side(one, null)));
  }

  function side(one, beside) {
    const seed = beside && beside.seed !== one.seed ? `, seed ${one.seed}` : "";
    const scores = SCORES.map(([field, label, decimals]) => make("span", {}, label + " ",
      make("b", {}, one[field] === null ? "n/a" : one[field].toFixed(decimals).replace("-", "−"))));
    if (one.finish === "length") scores.push(make("span", {}, "cut at the length limit"));
    return make("div", { class: "side " + (one.role === "organism" ? "plain-side" : "own-side") },
      make("h4", {}, (ROLES[one.role] ?? one.role) + seed),
      one.answer.trim() ? make("div", { class: "text", dir: "auto" }, ...highlighted(one.answer)) : make("div", { class: "text soft" }, "(an empty answer)"),
      make("div", { class: "scores" }, ...scores));
  }

  function highlighted(text) {
    const words = byId("a-find").value.toLocaleLowerCase("en").trim(), low = text.toLocaleLowerCase("en");
    if (!words || low.length !== text.length) return [text];
    const parts = [];
    let at = 0;
    for (let hit = low.indexOf(words); hit >= 0; hit = low.indexOf(words, at)) {
      parts.push(text.slice(at, hit), make("mark", {}, text.slice(hit, hit + words.length)));
      at = hit + words.length;
    }
    return [...parts, text.slice(at)];
  }

  /** Opens the page that has an answer; filters that would hide it are taken off. */
  function showAnswer(id) {
    const one = answers.find((other) => other.id === id);
    if (!one) return;
    showTab("answers");
    marked = id;
    let at = chosen().indexOf(one);
    if (at < 0) {
      for (const name of ["a-task", "a-prompt", "a-seed", "a-find", "a-sort"]) byId(name).value = "";
      byId("a-role").value = one.role;
      at = chosen().indexOf(one);
    }
    turn(Math.floor(at / PAGE));
    byId("a-list").querySelector(".marked").scrollIntoView({ block: "center" });
  }

  for (const id of ["a-task", "a-prompt", "a-role", "a-seed", "a-sort"]) byId(id).addEventListener("change", () => turn(0));
  byId("a-find").addEventListener("input", later(() => turn(0), 150));
  for (const [id, step] of [["a-prev", -1], ["a-next", 1]]) {
    byId(id).addEventListener("click", () => {
      turn(page + step);
      byId("answer-tools").scrollIntoView({ block: "start" });
    });
  }

  // ---- start ----

  function follow() {
    const { board, entry, answer } = place();
    if ((board ?? boards[0]) !== current || !follow.started) showBoard(board ?? boards[0]);
    follow.started = true;
    if (!(board && entry !== null && openEntry(board, entry, answer)) && panel.open) panel.close();
  }
  addEventListener("hashchange", follow);
  addEventListener("resize", later(fit, 100));
  if (boards.length) follow();
}
