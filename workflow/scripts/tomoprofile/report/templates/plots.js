/* Draws the figures in the colours of the page, again when the theme changes or the page is printed. */
(() => {
  const themes = { light: ["#17202a", "#e4e8ec", "#aab4be"], dark: ["#e6ebf0", "#2b333c", "#596673"] };
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const touch = window.matchMedia("(pointer: coarse)").matches;
  const template = (theme) => {
    const [ink, grid, line] = themes[theme];
    const axis = { gridcolor: grid, zerolinecolor: line, linecolor: line, tickcolor: line, ticks: "outside", showline: true };
    return { layout: {
      font: { color: ink, size: 13, family: "system-ui, -apple-system, 'Segoe UI', Roboto, Arial, sans-serif" },
      hoverlabel: { bgcolor: theme === "dark" ? "#1b2128" : "#ffffff", font: { color: ink } },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: line, activecolor: ink },
      xaxis: axis, yaxis: axis,
    } };
  };
  const waiting = [...document.querySelectorAll("[data-figure]")];
  const drawn = [];
  let theme = dark.matches ? "dark" : "light";
  const paint = (chosen, width) => {
    theme = chosen;
    for (const plot of drawn) {
      const most = parseFloat(plot.style.maxWidth) || Infinity;
      Plotly.relayout(plot, { template: template(theme), width: width && Math.min(width, most), autosize: !width });
    }
  };
  const draw = (plot) => {
    const figure = JSON.parse(document.getElementById(plot.dataset.figure).textContent);
    figure.layout.template = template(theme);
    // A finger that scrolls the page must not zoom a plot.
    if (touch) figure.layout.dragmode = false;
    // Named one by one: the library's own set has a button that sends the data of the plot to its maker's server.
    const modeBarButtons = [["zoom2d", "pan2d", "resetScale2d"]];
    Plotly.newPlot(plot, figure.data, figure.layout, { responsive: true, displaylogo: false, plotlyServerURL: "", modeBarButtons });
    drawn.push(plot);
    figures.set(plot.id, {
      svg: async () => {
        // For paper: on white, whatever the theme.
        const layout = { ...plot.layout, template: template("light"), paper_bgcolor: "#ffffff" };
        const { width, height } = plot.getBoundingClientRect();
        const uri = await Plotly.toImage({ data: plot.data, layout }, { format: "svg", width, height });
        return decodeURIComponent(uri.slice(uri.indexOf(",") + 1));
      },
    });
  };
  // One after another, so that the page answers between them.
  const next = () => {
    if (!waiting.length) {
      performance.mark("all-drawn");
      return document.documentElement.setAttribute("data-drawn", "");
    }
    draw(waiting.shift());
    setTimeout(next);
  };
  setTimeout(next);

  for (const box of document.querySelectorAll("[data-shows]")) {
    box.checked = false;
    box.addEventListener("change", async () => {
      const plot = document.getElementById(box.dataset.plot);
      const chosen = plot.data.flatMap((trace, i) => (trace.meta === box.dataset.shows ? [i] : []));
      await Plotly.restyle(plot, { visible: box.checked }, chosen);
      plot.fitted ??= plot.layout.yaxis2.range[1];
      const shown = plot.data.filter((trace) => trace.meta && trace.visible);
      const values = shown.flatMap((trace) => [...(trace.y._inputArray ?? trace.y)].filter(Number.isFinite));
      Plotly.relayout(plot, { "yaxis2.range": [0, Math.max(plot.fitted, 1.08 * Math.max(0, ...values))] });
    });
  }
  dark.addEventListener("change", () => paint(dark.matches ? "dark" : "light"));
  window.addEventListener("beforeprint", () => {
    while (waiting.length) draw(waiting.shift());
    paint("light", 680);  // between the margins of A4 and of letter
  });
  window.addEventListener("afterprint", () => paint(dark.matches ? "dark" : "light"));
})();
