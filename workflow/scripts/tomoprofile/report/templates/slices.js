/* Moves through the slices of a triplet. */
for (const figure of document.querySelectorAll(".slices")) {
  const panels = [...figure.querySelectorAll(".triplet > div")];
  const slices = [...figure.querySelectorAll("template")];
  const slider = figure.querySelector("input[type=range]");
  const contours = figure.querySelector("[data-contours]");
  slices[figure.dataset.first].content.append(...panels.slice(0, 2).map((panel) => panel.querySelector("svg").cloneNode(true)));
  const show = (number) => {
    const chosen = slices[number];
    const [overview, zoom] = chosen.content.cloneNode(true).querySelectorAll("svg");
    const bare = zoom.cloneNode(true);
    bare.setAttribute("aria-label", panels[2].querySelector("svg").getAttribute("aria-label"));
    for (const line of bare.querySelectorAll(".contour, .substrate")) line.remove();
    [overview, zoom, bare].forEach((picture, i) => panels[i].querySelector("svg").replaceWith(picture));
    for (const name of ["place", "depths"]) figure.querySelector(`[data-shown=${name}]`).textContent = chosen.dataset[name];
    slider?.setAttribute("aria-valuetext", chosen.dataset.place);
  };
  slider?.addEventListener("input", () => show(Number(slider.value)));
  contours.addEventListener("change", () => figure.classList.toggle("no-contours", !contours.checked));
  // A reload may leave the slider where it was.
  if (slider) slider.value = figure.dataset.first;
  contours.checked = true;
  figures.set(figure.id, {
    svg: () => {
      const width = 800, gap = 16;
      let height = 0;
      const parts = panels.map((panel, i) => {
        const picture = panel.querySelector("svg").cloneNode(true);
        if (!contours.checked) picture.querySelector(".contour")?.remove();
        const [, , wide, high] = picture.getAttribute("viewBox").split(" ").map(Number);
        const own = (width * high) / wide;
        height = Math.max(height, own);
        for (const [name, value] of Object.entries({ x: i * (width + gap), y: 0, width, height: own })) picture.setAttribute(name, value);
        return new XMLSerializer().serializeToString(picture);
      });
      const whole = 3 * width + 2 * gap;
      return `<svg xmlns="http://www.w3.org/2000/svg" width="${whole}" height="${height}" viewBox="0 0 ${whole} ${height}">${parts.join("")}</svg>`;
    },
    csv: () => {
      const rows = ["picture,outline,x_um,y_um"];
      ["slice", "zoom"].forEach((name, i) => {
        const path = panels[i].querySelector(".contour");
        if (!path) return;
        const step = Number(path.getAttribute("transform").match(/scale\((.*)\)/)[1]);
        path.getAttribute("d").split("M").slice(1).forEach((outline, number) => {
          // The first point is a place, the others are steps.
          let [x, y] = [0, 0];
          const steps = outline.match(/-?\d+/g).map(Number);
          for (let j = 0; j < steps.length; j += 2) {
            [x, y] = [x + steps[j], y + steps[j + 1]];
            rows.push(`${name},${number + 1},${(x * step).toFixed(3)},${(y * step).toFixed(3)}`);
          }
        });
      });
      return rows.join("\n") + "\n";
    },
  });
}
