/* Draws the figures in the colours of the page, again when the theme changes or the page is printed. */
(() => {
  const themes = { light: ["#17202a", "#e4e8ec", "#aab4be"], dark: ["#e6ebf0", "#2b333c", "#596673"] };
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const touch = window.matchMedia("(pointer: coarse)").matches;
  const template = (theme) => {
    const [ink, grid, line] = themes[theme];
    const axis = { gridcolor: grid, zerolinecolor: line, linecolor: line, tickcolor: line, ticks: "outside", showline: true };
    const depth = { ...axis, backgroundcolor: "rgba(0,0,0,0)", showspikes: false };
    return { layout: {
      font: { color: ink, size: 13, family: "system-ui, -apple-system, 'Segoe UI', Roboto, Arial, sans-serif" },
      hoverlabel: { bgcolor: theme === "dark" ? "#1b2128" : "#ffffff", font: { color: ink } },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: line, activecolor: ink },
      xaxis: axis, yaxis: axis, scene: { xaxis: depth, yaxis: depth, zaxis: depth },
    } };
  };
  const plots = [...document.querySelectorAll("[data-figure]")];
  const paint = (theme) => plots.map((plot) => Plotly.relayout(plot, { template: template(theme) }));
  const current = () => (dark.matches ? "dark" : "light");
  for (const plot of plots) {
    const figure = JSON.parse(document.getElementById(plot.dataset.figure).textContent);
    figure.layout.template = template(current());
    if (figure.layout.scene) {
      // The first view fits the height; on a narrow screen it has to step back to fit the width.
      const back = Math.max(1, figure.layout.height / plot.clientWidth);
      for (const axis of "xyz") figure.layout.scene.camera.eye[axis] *= back;
      figure.data[0].marker.sizeref = back;
    }
    // A finger that scrolls the page must not zoom a plot.
    if (touch && !figure.layout.scene) figure.layout.dragmode = false;
    // Named one by one: the library's own set has a button that sends the data of the plot to its maker's server.
    const modeBarButtons = [figure.layout.scene ? ["orbitRotation", "pan3d", "resetCameraDefault3d"] : ["zoom2d", "pan2d", "resetScale2d"]];
    Plotly.newPlot(plot, figure.data, figure.layout, { responsive: true, displaylogo: false, plotlyServerURL: "", modeBarButtons });
  }
  for (const button of document.querySelectorAll("[data-save]")) {
    button.addEventListener("click", () => {
      const plot = document.getElementById(button.dataset.save);
      const { width, height } = plot.getBoundingClientRect();
      const format = button.dataset.format;
      Plotly.downloadImage(plot, { format, width, height, scale: format === "png" ? 3 : 1, filename: button.dataset.name });
    });
  }
  dark.addEventListener("change", () => paint(current()));
  window.addEventListener("beforeprint", () => paint("light"));
  window.addEventListener("afterprint", () => paint(current()));
})();
