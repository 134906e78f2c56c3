/* Saves figures: each leaves here how it becomes an SVG, and a table where the page has no link to one. */
const figures = new Map();
(() => {
  const download = (name, type, content) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([content], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  };
  const raster = async (svg, pixels) => {
    const image = new Image();
    image.src = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
    await image.decode();
    const canvas = document.createElement("canvas");
    const scale = pixels / image.width;
    canvas.width = pixels;
    canvas.height = Math.round(image.height * scale);
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    URL.revokeObjectURL(image.src);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  };
  for (const button of document.querySelectorAll("[data-save]")) {
    button.addEventListener("click", async () => {
      const { save, of, name } = button.dataset;
      const figure = figures.get(of);
      if (save === "csv") return download(`${name}.csv`, "text/csv", figure.csv());
      const svg = await figure.svg();
      if (save === "svg") return download(`${name}.svg`, "image/svg+xml", svg);
      return download(`${name}.png`, "image/png", await raster(svg, 2400));
    });
  }
  for (const element of document.querySelectorAll("[data-needs-script]")) element.hidden = false;
  for (const element of document.querySelectorAll("[data-without-script]")) element.hidden = true;
})();
