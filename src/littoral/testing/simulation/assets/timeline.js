// What a reader does with a timeline: filter rows, hide kinds, and follow one planned event. Without it, all is shown.
"use strict";
const rows = [...document.querySelectorAll(".row")];
const kinds = [...document.querySelectorAll("input[data-kind]")];
const search = document.querySelector("input[type=search]");
const sheet = document.querySelector(".sheet");
const parts = [...sheet.querySelectorAll("[data-event]")];
const plan = document.querySelector(".plan");
let picked = null;

function filter() {
  const hidden = new Set(kinds.filter((kind) => !kind.checked).map((kind) => kind.dataset.kind));
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const row of rows) {
    const text = row.textContent.toLowerCase() + " " + (row.dataset.nodes || "").toLowerCase();
    // What is left out of time says nothing among rows that were picked by a word.
    const found = words.every((word) => text.includes(word)) && !(words.length && row.dataset.kind === "time");
    row.hidden = !found || hidden.has(row.dataset.kind);
  }
  document.querySelector(".nothing").hidden = rows.some((row) => !row.hidden);
}

function show(event) {
  for (const part of parts) part.classList.toggle("picked", event !== null && part.dataset.event === event);
  sheet.classList.toggle("picking", event !== null && parts.some((part) => part.dataset.event === event));
}

function goTo(row) {
  if (row) row.scrollIntoView({ block: "center", inline: "nearest" });
}

for (const button of document.querySelectorAll(".plan button")) {
  const event = button.dataset.event;
  button.addEventListener("mouseenter", () => show(event));
  button.addEventListener("mouseleave", () => show(picked));
  button.addEventListener("click", () => {
    picked = picked === event ? null : event;
    for (const other of document.querySelectorAll(".plan button")) {
      other.setAttribute("aria-pressed", String(other.dataset.event === picked));
    }
    show(picked);
    if (picked !== null) goTo(sheet.querySelector(".row.picked:not([hidden])"));
  });
}
for (const button of document.querySelectorAll(".verdict button")) {
  button.addEventListener("click", () => goTo(document.getElementById(button.dataset.row)));
}
for (const kind of kinds) kind.addEventListener("change", filter);
search.addEventListener("input", filter);
// On a phone the plan would stand before everything else.
if (plan && matchMedia("(max-width: 760px)").matches) plan.removeAttribute("open");
