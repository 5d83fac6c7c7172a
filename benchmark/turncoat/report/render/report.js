// Tables that sort by a click on a heading, and the answers.
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.querySelectorAll("th")], body = table.tBodies[0];
  const original = [...body.rows];
  const key = (row, i) => { const c = row.cells[i]; return "v" in c.dataset ? Number(c.dataset.v) : c.textContent; };
  const order = (a, b) => typeof a === "number" && typeof b === "number" ? a - b
    : typeof a === "number" ? -1 : typeof b === "number" ? 1 : a.localeCompare(b);
  heads.forEach((head, i) => head.firstElementChild.addEventListener("click", () => {
    const next = { none: "ascending", ascending: "descending", descending: "none" }[head.ariaSort || "none"];
    heads.forEach((other) => { other.ariaSort = "none"; });
    head.ariaSort = next;
    const rows = [...original];
    if (next !== "none") rows.sort((a, b) => order(key(a, i), key(b, i)) * (next === "ascending" ? 1 : -1));
    body.append(...rows);
  }));
}

let browser = null;

/** The answers of a store in the page's browser; the address may name one of them. */
function showAnswers(store, groups = [["run", ""]]) {
  browser = answerBrowser(byId("browser"), store, { arms: store.arms, beside: "*", link: (id) => "#answer=" + id });
  browser.replace(groups.flatMap(([group, part]) => unpack(store, group, part)), store, true);
  const follow = () => { if (location.hash.startsWith("#answer=")) browser.show(location.hash.slice(8)); };
  addEventListener("hashchange", follow);
  follow();
}

if (byId("answer-store")) showAnswers(JSON.parse(byId("answer-store").textContent));
