// Shows the cells whose text has every word that was typed.
"use strict";
const search = document.getElementById("search");
search.addEventListener("input", () => {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const cells = [...document.querySelectorAll("[data-text]")];
  for (const cell of cells) cell.hidden = !words.every(word => cell.dataset.text.includes(word));
  for (const section of document.querySelectorAll("section")) section.hidden = !section.querySelector("[data-text]:not([hidden])");
  const shown = cells.filter(cell => !cell.hidden).length;
  document.getElementById("found").textContent = words.length ? `${shown} of ${cells.length}` : "";
});
