// Filters and sorting; without scripts everything is there, unfiltered.
(() => {
  const queries = [...document.querySelectorAll(".query")];
  const controls = document.forms.filter;
  const filter = () => {
    const wanted = new FormData(controls);
    for (const query of queries) {
      const fits = ["class", "result"].every((key) => !wanted.get(key) || query.dataset[key] === wanted.get(key));
      query.hidden = !fits;
    }
    controls.querySelector("output").value = `${queries.filter((query) => !query.hidden).length} of ${queries.length} shown`;
  };
  if (controls) {
    controls.addEventListener("change", filter);
    filter(); // a browser that reloads a page keeps what was chosen
  }
  for (const heading of document.querySelectorAll("th[data-sort]")) {
    heading.querySelector("button").addEventListener("click", () => {
      const rising = heading.getAttribute("aria-sort") !== "ascending";
      for (const other of heading.parentNode.children) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", rising ? "ascending" : "descending");
      const body = heading.closest("table").tBodies[0], place = heading.cellIndex;
      const value = (row) => row.cells[place].dataset.value;
      const compare = heading.dataset.sort === "number" ? (a, b) => a - b : (a, b) => a.localeCompare(b);
      const rows = [...body.rows].sort((a, b) => compare(value(a), value(b)) * (rising ? 1 : -1));
      body.append(...rows);
    });
  }
  for (const picture of document.querySelectorAll(".picture")) {
    picture.addEventListener("click", () => picture.classList.toggle("full"));
  }
})();
