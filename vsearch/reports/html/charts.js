// plotly.js draws the charts in the style sheet's colours: `var:right` is `--right`.
"use strict";
const FIGURES = JSON.parse(document.getElementById("figures").textContent);
const DARK = window.matchMedia("(prefers-color-scheme: dark)");

function coloured(node, style) {
  if (typeof node === "string") return node.startsWith("var:") ? style.getPropertyValue("--" + node.slice(4)).trim() : node;
  if (Array.isArray(node)) return node.map((one) => coloured(one, style));
  if (node === null || typeof node !== "object") return node;
  return Object.fromEntries(Object.entries(node).map(([name, one]) => [name, coloured(one, style)]));
}

function dressed(layout, width) {
  const axis = { gridcolor: "var:line", linecolor: "var:line", zerolinecolor: "var:line", tickcolor: "var:line" };
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 10, r: 10, t: 36, b: 10 },
    hoverlabel: { bgcolor: "var:card", bordercolor: "var:line", font: { color: "var:ink" } },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: "var:muted", activecolor: "var:accent" },
    legend: { orientation: "h", x: 0, y: 1, yanchor: "bottom", font: { size: 11 } },
    ...layout,
    font: { family: "system-ui, sans-serif", size: 12, color: "var:ink" },
    xaxis: { ...axis, ...layout.xaxis },
    yaxis: { ...axis, ...layout.yaxis },
  };
}

function draw() {
  const style = getComputedStyle(document.documentElement);
  return Promise.all([...document.querySelectorAll("[data-plot]")].map((place) => {
    const { data, layout } = FIGURES[place.dataset.plot];
    const map = place.dataset.plot.endsWith("-map");
    const config = { responsive: true, displaylogo: false, displayModeBar: map, scrollZoom: map,
      modeBarButtons: [["zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]] };
    return Plotly.react(place, coloured(data, style), coloured(dressed(layout), style), config);
  }));
}

const TIP = document.getElementById("tip");
function showTip(place, curve, number) {
  const { customdata, x, y } = place.data[curve];
  const [key, label, id] = customdata[number];
  const { xaxis, yaxis } = place._fullLayout;
  TIP.replaceChildren();
  if (PHOTOS[key]) TIP.append(Object.assign(new Image(), { src: PHOTOS[key], alt: label }));
  TIP.append(Object.assign(document.createElement("b"), { textContent: label }));
  TIP.append(Object.assign(document.createElement("span"), { textContent: id }));
  TIP.hidden = false;
  const box = place.getBoundingClientRect();
  const left = box.left + xaxis._offset + xaxis.d2p(x[number]) + 14;
  const top = box.top + yaxis._offset + yaxis.d2p(y[number]) + 14;
  TIP.style.left = Math.max(4, Math.min(left, window.innerWidth - TIP.offsetWidth - 8)) + window.scrollX + "px";
  TIP.style.top = Math.max(4, Math.min(top, window.innerHeight - TIP.offsetHeight - 8)) + window.scrollY + "px";
}

function explorable(place) {
  const points = place.data.flatMap((trace, curve) => trace.x.map((_, number) => [curve, number]));
  let at = -1;
  const hide = () => { TIP.hidden = true; };
  place.on("plotly_hover", (event) => showTip(place, event.points[0].curveNumber, event.points[0].pointNumber));
  place.on("plotly_unhover", hide);
  place.addEventListener("blur", hide);
  place.tabIndex = 0;
  place.setAttribute("role", "application");
  place.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") hide();
    if (!step) return;
    event.preventDefault();
    at = (at + step + points.length) % points.length;
    showTip(place, ...points[at]);
  });
}

draw().then((places) => {
  for (const place of places) {
    if (place.dataset.plot.endsWith("-map")) explorable(place);
    place.on("plotly_click", (event) => {
      const pair = document.getElementById(event.points[0].customdata);
      if (!(pair instanceof HTMLDetailsElement)) return;
      pair.open = true;
      pair.scrollIntoView({ block: "nearest" });
      pair.querySelector("summary").focus();
    });
  }
  document.documentElement.dataset.drawn = "yes";
});
DARK.addEventListener("change", draw);
window.addEventListener("beforeprint", () => { document.documentElement.classList.add("paper"); draw(); });
window.addEventListener("afterprint", () => { document.documentElement.classList.remove("paper"); draw(); });
