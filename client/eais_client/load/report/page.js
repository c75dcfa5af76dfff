"use strict";
// Draws what #plots holds, in the page's colours, and again when these change.
(() => {
  const plots = JSON.parse(document.getElementById("plots").textContent);
  const config = {
    displaylogo: false,
    displayModeBar: true,
    responsive: true,
    plotlyServerURL: "",
    // No other: one of plotly's own sends the plot to a server of its makers.
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
  };

  function colours() {
    const style = getComputedStyle(document.documentElement);
    const of = (name) => style.getPropertyValue(name).trim();
    return { ink: of("--ink"), soft: of("--soft"), grid: of("--grid"), card: of("--card") };
  }

  function painted(layout) {
    const { ink, soft, grid, card } = colours();
    const made = structuredClone(layout);
    made.paper_bgcolor = made.plot_bgcolor = "rgba(0,0,0,0)";
    made.font = { ...made.font, color: ink };
    made.hoverlabel = { bgcolor: card, bordercolor: grid, font: { color: ink } };
    made.modebar = { bgcolor: "rgba(0,0,0,0)", color: soft, activecolor: ink };
    for (const [name, axis] of Object.entries(made)) {
      if (/^[xy]axis/.test(name)) {
        Object.assign(axis, { gridcolor: grid, linecolor: grid, zerolinecolor: grid });
        axis.tickfont = { ...axis.tickfont, color: soft };
      }
    }
    return made;
  }

  function draw() {
    for (const [id, plot] of Object.entries(plots)) {
      Plotly.react(id, plot.data, painted(plot.layout), config);
    }
  }

  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  matchMedia("print").addEventListener("change", draw);
  addEventListener("beforeprint", draw);
})();
