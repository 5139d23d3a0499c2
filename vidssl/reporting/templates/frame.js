"use strict";
// How moving pictures are shown; without scripts they move.
(() => {
  const choice = document.querySelector("select[name=look]");
  if (!choice) return;
  const look = () => {
    for (const kind of ["still", "strips"]) document.body.classList.toggle(kind, choice.value === kind);
  };
  choice.form.addEventListener("change", look);
  look(); // a browser that reloads a page keeps what was chosen
})();
