"use strict";
{
  // The tables and details are in the page already; this sorts, filters and opens them, and makes the list of answers.
  const ROLES = { defended: "with this defence", organism: "no defence", control: "harmless control", base: "base model", benign: "benign" };
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const tools = byId("tools"), panel = byId("panel");
  const boards = all("section.board");
  document.documentElement.classList.add("js");
  tools.hidden = false;

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
    if (answer !== null) { showTab("answers"); if (!browser.show(answer)) showTab("facts"); }
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

  // ---- answers ----

  let store = null, browser = null; // parsed and made when first needed

  /** An entry's own answers, and for roles that it shares those of the entry that stores them. */
  function startAnswers() {
    store ??= JSON.parse(byId("answers").textContent);
    browser ??= answerBrowser(byId("browser"), store, {
      arms: Object.entries(ROLES).map(([role, label]) => [role, label, { defended: "c1", organism: "c0" }[role] ?? "base"]),
      beside: "organism", first: ["defended", "organism", "base"],
      link: (id) => link(opened.board.dataset.board, opened.row.dataset.slug, id),
    });
    const board = opened.board.dataset.board, { slug } = opened.row.dataset;
    const answers = unpack(store, board, slug);
    const own = new Set(answers.map((one) => one.arm));
    const roles = own.size ? ["organism", "control", "base"].filter((role) => !own.has(role)) : [];
    const lender = all("tr.entry", opened.board).find((one) => one.dataset.setting === "none" && one.dataset.kind !== "canary");
    const shared = JSON.parse(opened.row.dataset.shared);
    for (const role of roles) {
      const from = shared[role] ?? (role === "organism" ? lender?.dataset.slug : undefined);
      if (from && from !== slug) answers.push(...unpack(store, board, from).filter((one) => one.arm === role));
    }
    const tab = byId("tab-answers");
    tab.textContent = answers.length ? `Answers (${answers.length.toLocaleString("en")})` : "No answers";
    tab.disabled = !answers.length;
    browser.replace(answers, store, true);
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
