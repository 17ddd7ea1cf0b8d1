"use strict";
// Sorting, filtering, copying: without this script the page shows all of it, in its order.

function compare(a, b) {
  const [x, y] = [Number(a), Number(b)];
  return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
}

// What is missing comes last, up or down; equal rows keep the order of the page.
function sortRows(body, column, down) {
  const value = (row) => row.cells[column].dataset.value ?? "";
  const rows = [...body.rows].sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === "" || y === "") return (x === "") - (y === "");
    return down ? compare(y, x) : compare(x, y);
  });
  body.append(...rows);
}

function makeSortable(table) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    if (!heading.hasAttribute("aria-sort")) heading.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const down = heading.getAttribute("aria-sort") === "ascending";
      for (const other of headings) other.setAttribute("aria-sort", "none");
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      sortRows(table.tBodies[0], column, down);
    });
  });
}

// Names and words of a row, without its numbers.
function wordsOf(row) {
  const cells = [...row.querySelectorAll("th, td.text")];
  return cells.map((cell) => cell.textContent).join(" ").toLocaleLowerCase();
}

function makeFilterable(controls) {
  const rows = [...document.getElementById(controls.dataset.for).tBodies[0].rows];
  const choices = [...controls.querySelectorAll("select")];
  const search = controls.querySelector("input");
  const said = controls.querySelector("output");
  const update = () => {
    const words = (search?.value ?? "").toLocaleLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = wordsOf(row);
      const stays = choices.every((c) => c.value === "" || row.dataset[c.dataset.key] === c.value)
        && words.every((word) => text.includes(word));
      row.hidden = !stays;
      shown += stays;
    }
    said.textContent = `${shown} of ${rows.length} ${rows.length === 1 ? "row" : "rows"}`;
  };
  for (const input of [...choices, search]) input?.addEventListener("input", update);
  controls.hidden = false;
  update();
}

function textOf(element) {
  if (element.tagName !== "TABLE") return element.textContent;
  return [...element.rows].map((r) => [...r.cells].map((c) => c.textContent).join("\t")).join("\n");
}

// Where the browser lends no clipboard, the text is selected for the reader to copy.
function makeCopyable(button, said) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const element = document.getElementById(button.dataset.from);
    try {
      await navigator.clipboard.writeText(textOf(element));
      said.textContent = "Copied.";
    } catch {
      getSelection().selectAllChildren(element);
      said.textContent = "Selected: copy it with the keyboard.";
    }
    button.after(said);
  });
}

for (const table of document.querySelectorAll("table.sortable")) makeSortable(table);
for (const controls of document.querySelectorAll(".controls")) makeFilterable(controls);
const said = document.getElementById("said");
for (const button of document.querySelectorAll("button.copy")) makeCopyable(button, said);
// Paper shows what a screen folds away.
addEventListener("beforeprint", () => {
  for (const folded of document.querySelectorAll("details")) folded.open = true;
});
