// Draws the learning curves from the data in the page, and answers to its few controls. No library, nothing loaded.
(() => {
  const data = JSON.parse(document.getElementById("curves-data").textContent);
  const SVG = "http://www.w3.org/2000/svg";
  const HEIGHT = 290, LEFT = 46, RIGHT = 12, TOP = 12, BOTTOM = 38;
  const FEW = 60; // points of a curve up to which every seed is drawn
  const hidden = new Set();
  const panels = [];

  const make = (name, attributes, parent, text) => {
    const node = document.createElementNS(SVG, name);
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    if (text !== undefined) node.textContent = text;
    if (parent) parent.appendChild(node);
    return node;
  };
  const colour = (place) => data.colours[place];
  const tidy = (value, share) => {
    if (share) return (100 * value).toFixed(1) + " %";
    const size = Math.abs(value);
    if (size !== 0 && (size < 0.001 || size >= 1e5)) return value.toExponential(1);
    return String(Number(value.toPrecision(3)));
  };

  // 1, 2 or 5 times a power of ten, about `count` of them between the ends
  const ticks = (low, high, count) => {
    const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
    const found = [];
    for (let at = Math.ceil(low / step - 1e-9) + 0; at * step <= high + step * 1e-9; at++) found.push(at * step + 0);
    return found;
  };

  const summarise = (curves) => {
    const runs = Object.values(curves.seeds);
    return curves.steps.map((step, place) => {
      const values = runs.map((run) => run[place]).filter((value) => value !== null);
      const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
      const spread = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
      return { step, mean, deviation: values.length > 1 ? Math.sqrt(spread / (values.length - 1)) : 0, n: values.length };
    });
  };

  const path = (points) => points.map(([x, y], place) => `${place ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");

  function draw(panel) {
    const metric = data.metrics[panel.select.selectedIndex];
    const shown = metric.methods
      .map((curves, place) => curves && !hidden.has(place) && { place, curves, points: summarise(curves) })
      .filter(Boolean);
    panel.chart.replaceChildren();
    const width = Math.max(panel.chart.clientWidth, 240);
    const svg = make("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, height: HEIGHT, role: "img" }, panel.chart);
    svg.setAttribute("aria-label", `${metric.name} over optimiser steps`);
    if (!shown.length) {
      make("text", { x: width / 2, y: HEIGHT / 2, "text-anchor": "middle" }, svg, "No method is shown");
      return;
    }
    const all = shown.flatMap(({ curves }) => Object.values(curves.seeds).flat()).filter((value) => value !== null);
    let low = Math.min(...all), high = Math.max(...all);
    const margin = (high - low) * 0.06 || Math.abs(high) * 0.1 || 0.1;
    low = metric.share ? Math.max(0, low - margin) : low - margin;
    high = metric.share ? Math.min(1, high + margin) : high + margin;
    const first = 0; // the untrained network, where it was measured
    const last = Math.max(...shown.map(({ curves }) => curves.steps[curves.steps.length - 1]), first + 1);
    const x = (step) => LEFT + ((step - first) / (last - first)) * (width - LEFT - RIGHT);
    const y = (value) => TOP + (1 - (value - low) / (high - low)) * (HEIGHT - TOP - BOTTOM);

    const factor = metric.share ? 100 : 1;
    for (const at of ticks(low * factor, high * factor, 7)) {
      const place = y(at / factor);
      make("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: place, y2: place }, svg);
      make("text", { x: LEFT - 8, y: place + 4, "text-anchor": "end" }, svg, String(Number(at.toPrecision(6))));
    }
    for (const at of ticks(first, last, Math.max(2, Math.floor(width / 110)))) {
      make("text", { x: x(at), y: HEIGHT - BOTTOM + 17, "text-anchor": "middle" }, svg, at.toLocaleString("en"));
    }
    const floor = HEIGHT - BOTTOM;
    make("line", { class: "axis", x1: LEFT, x2: width - RIGHT, y1: floor, y2: floor }, svg);
    make("text", { x: width - RIGHT, y: HEIGHT - 4, "text-anchor": "end" }, svg, "optimiser step");
    if (shown.some(({ points }) => points[0].step === 0)) {
      make("text", { x: x(0), y: HEIGHT - 4, "text-anchor": "start" }, svg, "untrained");
    }
    if (metric.share) make("text", { x: LEFT - 8, y: HEIGHT - 4, "text-anchor": "end" }, svg, "%");

    for (const { place, curves, points } of shown) {
      const fill = colour(place);
      if (points.some((point) => point.deviation)) {
        const upper = points.map((point) => [x(point.step), y(Math.min(point.mean + point.deviation, high))]);
        const lower = points.map((point) => [x(point.step), y(Math.max(point.mean - point.deviation, low))]);
        make("path", { class: "band", d: path([...upper, ...lower.reverse()]) + "Z", style: `fill:${fill}` }, svg);
      }
      if (Object.keys(curves.seeds).length > 1 && points.length <= FEW) {
        for (const run of Object.values(curves.seeds)) {
          const line = run.map((value, at) => value !== null && [x(curves.steps[at]), y(value)]).filter(Boolean);
          make("path", { class: "seed", d: path(line), style: `stroke:${fill}` }, svg);
        }
      }
    }
    const marked = shown.every(({ points }) => points.length <= 24);
    for (const { place, points } of shown) {
      const line = points.map((point) => [x(point.step), y(point.mean)]);
      const dashes = data.dashes[place];
      make("path", { class: "mean", d: path(line), style: `stroke:${colour(place)}`, "stroke-dasharray": dashes }, svg);
      if (marked) {
        for (const [left, top] of line) {
          const shape = data.shapes[place];
          make("path", { d: shape, transform: `translate(${left} ${top})`, style: `fill:${colour(place)}` }, svg);
        }
      }
    }
    panel.state = { metric, shown, x, first, last, width, svg };
  }

  function point(panel, event) {
    if (!panel.state || !panel.state.shown) return;
    const { metric, shown, x, width, svg } = panel.state;
    leave(panel);
    const at = event.clientX - panel.chart.getBoundingClientRect().left;
    const steps = shown.flatMap(({ points }) => points.map(({ step }) => step));
    const nearest = steps.reduce((best, step) => (Math.abs(x(step) - at) < Math.abs(x(best) - at) ? step : best), steps[0]);
    panel.cursor = make("line", { class: "cursor", x1: x(nearest), x2: x(nearest), y1: TOP, y2: HEIGHT - BOTTOM }, svg);
    const tip = document.createElement("div");
    tip.className = "tip";
    const head = document.createElement("div");
    head.textContent = `step ${Math.round(nearest).toLocaleString("en")}`;
    tip.appendChild(head);
    for (const { place, points } of shown) {
      const found = points.find(({ step }) => step === nearest);
      if (!found) continue;
      const row = document.createElement("div");
      const dot = document.createElement("span");
      dot.textContent = "\u25cf ";
      dot.style.color = colour(place);
      const value = document.createElement("b");
      value.textContent = tidy(found.mean, metric.share);
      const spread = found.n > 1 ? ` \u00b1 ${tidy(found.deviation, metric.share)}` : "";
      row.append(dot, `${data.labels[place]}  `, value, spread);
      tip.appendChild(row);
    }
    panel.chart.appendChild(tip);
    const left = x(nearest) + 12;
    tip.style.top = "8px";
    tip.style.left = `${left + tip.offsetWidth > width ? Math.max(0, x(nearest) - 12 - tip.offsetWidth) : left}px`;
    panel.tip = tip;
  }

  function leave(panel) {
    if (panel.tip) panel.tip.remove();
    if (panel.cursor) panel.cursor.remove();
    panel.tip = panel.cursor = null;
  }

  for (const chart of document.querySelectorAll(".chart")) {
    const panel = { select: chart.closest(".panel").querySelector("select"), chart };
    panels.push(panel);
    panel.select.addEventListener("change", () => draw(panel));
    panel.chart.addEventListener("pointermove", (event) => point(panel, event));
    panel.chart.addEventListener("pointerdown", (event) => point(panel, event));
    panel.chart.addEventListener("pointerleave", () => leave(panel));
    draw(panel);
  }
  let waiting = 0;
  addEventListener("resize", () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => panels.forEach(draw));
  });

  for (const button of document.querySelectorAll(".keys button")) {
    button.addEventListener("click", () => {
      const place = Number(button.dataset.place);
      hidden.has(place) ? hidden.delete(place) : hidden.add(place);
      button.setAttribute("aria-pressed", String(!hidden.has(place)));
      panels.forEach(draw);
    });
  }

  const every = document.getElementById("all-metrics");
  if (every) every.addEventListener("change", () => document.querySelector(".results").classList.toggle("all", every.checked));

  const large = document.getElementById("large");
  for (const button of document.querySelectorAll("figure button")) {
    button.addEventListener("click", () => {
      const image = button.querySelector("img");
      large.querySelector("img").src = image.src;
      large.querySelector("img").alt = image.alt;
      large.showModal();
    });
  }
  if (large) large.addEventListener("click", () => large.close());
})();
