"use strict";
const body = document.querySelector("#events tbody");
const shown = { label: null, recording: null };

// Rows are sorted by data-by of the column's cells, as numbers if all of them are numbers
function sort(table, column, descending) {
  const rows = [...table.tBodies[0].rows];
  const key = (row) => row.cells[column].dataset.by;
  const numeric = rows.every((row) => key(row) !== "" && !isNaN(key(row)));
  const order = (a, b) => (numeric ? key(a) - key(b) : key(a).localeCompare(key(b), undefined, { numeric: true }));
  rows.sort((a, b) => (descending ? order(b, a) : order(a, b)));
  table.tBodies[0].append(...rows);
}

for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th");
    const descending = head.getAttribute("aria-sort") === "ascending";
    for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    sort(head.closest("table"), head.cellIndex, descending);
  });
}

function filter() {
  let count = 0;
  for (const row of body.rows) {
    row.hidden =
      (shown.label !== null && row.dataset.label !== shown.label) ||
      (shown.recording !== null && row.dataset.recording !== shown.recording);
    count += !row.hidden;
  }
  document.querySelector("#shown").textContent = count.toLocaleString("en");
  for (const button of document.querySelectorAll("[data-pick-label]"))
    button.setAttribute("aria-pressed", button.dataset.pickLabel === shown.label);
  for (const button of document.querySelectorAll("[data-pick-recording]"))
    button.setAttribute("aria-pressed", button.dataset.pickRecording === shown.recording);
  document.querySelector("#all").hidden = shown.label === null && shown.recording === null;
}

// Pressing the same choice again clears it
for (const button of document.querySelectorAll("[data-pick-label]"))
  button.addEventListener("click", () => {
    shown.label = shown.label === button.dataset.pickLabel ? null : button.dataset.pickLabel;
    filter();
  });
for (const button of document.querySelectorAll("[data-pick-recording]"))
  button.addEventListener("click", () => {
    const own = button.dataset.pickRecording;
    shown.recording = shown.recording === own ? null : own;
    filter();
    if (shown.recording !== null) document.querySelector("#events-title").scrollIntoView();
  });
document.querySelector("#all").addEventListener("click", () => {
  shown.label = shown.recording = null;
  filter();
});

// Only one sound plays at a time
const player = new Audio();
let playing = null;
function stopped() {
  playing?.removeAttribute("data-playing");
  playing = null;
}
player.addEventListener("ended", stopped);
document.addEventListener("click", (click) => {
  const button = click.target.closest("button.play");
  if (!button) return;
  const again = button === playing;
  player.pause();
  stopped();
  if (again) return;
  player.src = button.dataset.sound;
  playing = button;
  button.setAttribute("data-playing", "");
  player.play().catch(stopped);
});
