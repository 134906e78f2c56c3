/* Draws domains as shaded spheres of true size (each a square on which the card works out the sphere), the substrate and
   the box of the scan, seen from afar without perspective, so that one scale bar holds everywhere. */
const drawScene = (place) => {
  const figure = place.closest("figure");
  const [paper, labels] = place.children;
  // Drawn apart and copied: browsers leave what WebGL draws out of prints.
  const canvas = document.createElement("canvas");
  const gl = canvas.getContext("webgl2", { antialias: false });
  if (!gl) {
    place.hidden = true;
    document.getElementById(`${place.id}-fails`).hidden = false;
    return;
  }
  const data = JSON.parse(document.getElementById(`${place.id}-data`).textContent);
  const numbers = (text) => new Uint16Array(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
  const positions = numbers(data.positions), diameters = numbers(data.diameters), depths = numbers(data.depths);
  const ids = new Uint32Array(Uint8Array.from(atob(data.ids), (letter) => letter.charCodeAt(0)).buffer);
  const byDepth = "depth" in data.ranges;  // without a substrate there is none
  const { size, count } = data;
  const middle = size.map((edge) => edge / 2);
  const reach = Math.hypot(...size);

  const program = (vertex, fragment) => {
    const made = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, `#version 300 es\nprecision highp float;\n${text}`);
      gl.compileShader(shader);
      gl.attachShader(made, shader);
    }
    gl.linkProgram(made);
    if (!gl.getProgramParameter(made, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(made));
    return made;
  };
  const common = `
    uniform mat3 turned; uniform vec3 middle; uniform vec2 moved, scale; uniform float reach;
    vec3 seen(vec3 at) { return turned * (at - middle) - vec3(moved, 0); }
    vec4 onScreen(vec3 at) { return vec4(at.xy * scale, -at.z / reach, 1); }`;
  const spheres = program(
    `${common}
    in vec2 corner; in vec3 position; in float diameter, depth;
    uniform vec3 size; uniform float largest, least; uniform vec2 range, deep, kept; uniform bool byDepth;
    out vec2 at; out float radius, z, value;
    void main() {
      vec3 centre = position * size;
      float true_um = diameter * largest, depth_um = mix(deep.x, deep.y, depth);
      value = ((byDepth ? depth_um : true_um) - range.x) / (range.y - range.x);
      radius = max(true_um, least) / 2.0;  // at least a pixel, or far domains would flicker
      vec3 here = seen(centre);
      z = here.z;
      at = corner;
      bool cut = depth_um < kept.x || depth_um > kept.y;
      gl_Position = cut ? vec4(2, 2, 2, 1) : onScreen(here + vec3(corner * radius, 0));
    }`,
    `in vec2 at; in float radius, z, value;
    uniform sampler2D colours; uniform float reach;
    out vec4 colour;
    void main() {
      float squared = dot(at, at);
      if (squared > 1.0) discard;
      vec3 normal = vec3(at, sqrt(1.0 - squared));
      float light = 0.55 + 0.55 * max(dot(normal, normalize(vec3(-0.4, 0.6, 0.8))), 0.0);
      colour = vec4(min(texture(colours, vec2(clamp(value, 0.01, 0.99), 0.5)).rgb * light, 1.0), 1);
      gl_FragDepth = 0.5 - 0.5 * (z + radius * normal.z) / reach;
    }`,
  );
  const flat = program(
    `${common} in vec3 position; void main() { gl_Position = onScreen(seen(position)); }`,
    `uniform vec4 tint; out vec4 colour; void main() { colour = tint; }`,
  );
  const attribute = (used, name, values, parts, divisor = 0) => {
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
    const at = gl.getAttribLocation(used, name);
    gl.enableVertexAttribArray(at);
    gl.vertexAttribPointer(at, parts, values instanceof Uint16Array ? gl.UNSIGNED_SHORT : gl.FLOAT, true, 0, 0);
    gl.vertexAttribDivisor(at, divisor);
  };
  const arrays = (fill) => {
    const made = gl.createVertexArray();
    gl.bindVertexArray(made);
    fill();
    return made;
  };
  const corner = (i) => size.map((edge, axis) => ((i >> axis) & 1) * edge);
  const edges = [0, 1, 2].flatMap((axis) => [0, 1, 2, 3, 4, 5, 6, 7].filter((i) => !((i >> axis) & 1)).map((i) => ({ axis, ends: [corner(i), corner(i | (1 << axis))] })));
  const ofSpheres = arrays(() => {
    attribute(spheres, "corner", new Float32Array([-1, -1, 1, -1, -1, 1, 1, 1]), 2);
    attribute(spheres, "position", positions, 3, 1);
    attribute(spheres, "diameter", diameters, 1, 1);
    attribute(spheres, "depth", depths, 1, 1);
  });
  const ofBox = arrays(() => attribute(flat, "position", new Float32Array(edges.flatMap(({ ends }) => ends.flat())), 3));
  const ofSubstrate = arrays(() => attribute(flat, "position", new Float32Array(data.substrate.flat()), 3));
  const textures = Object.fromEntries(Object.entries(data.colours).map(([name, colours]) => {
    const texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, colours.length, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(colours.flatMap((colour) => [...colour, 255])));
    for (const [key, value] of [[gl.TEXTURE_MIN_FILTER, gl.LINEAR], [gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE]]) gl.texParameteri(gl.TEXTURE_2D, key, value);
    return [name, texture];
  }));

  // Up and right are those of the pictures of slices, whose rows point down and whose columns are x; nothing is mirrored.
  const unit = (axis, length) => [0, 1, 2].map((i) => (i === axis ? length : 0));
  const up = unit(data.down, -1), right = unit(0, 1);
  const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
  const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  const lateral = [cross(right, up), right];
  const first = { azimuth: 0.6, elevation: data.from_above ? 0.32 : -0.32, zoom: 1, x: 0, y: 0 };
  const view = { ...first };
  const axes = () => {
    const [c, s, e] = [Math.cos(view.azimuth), Math.sin(view.azimuth), view.elevation];
    const eye = up.map((part, i) => Math.cos(e) * (c * lateral[0][i] + s * lateral[1][i]) + Math.sin(e) * part);
    const across = cross(up, [0, 1, 2].map((i) => c * lateral[0][i] + s * lateral[1][i]));
    return [across, cross(eye, across), eye];
  };
  let coloured = byDepth ? "depth" : "diameter", frame = null, rest = null, chosen = -1;
  const cut = [-Infinity, Infinity];  // only domains with their centre between these depths are drawn
  let moving = Math.min(count, 30_000);  // spheres while it turns; follows the time a picture takes
  const seen = (point, [across, upward, eye]) => {
    const at = point.map((part, i) => part - middle[i]);
    return [dot(across, at) - view.x, dot(upward, at) - view.y, dot(eye, at)];
  };
  const pixels = () => {
    // Pixels in a micrometre. The first view fits; turning does not change the scale.
    const kept = { ...view };
    Object.assign(view, first);
    const at = axes();
    const corners = [0, 1, 2, 3, 4, 5, 6, 7].map((i) => seen(corner(i), at));
    Object.assign(view, kept);
    const [wide, high] = [0, 1].map((i) => 2 * Math.max(...corners.map((point) => Math.abs(point[i]))));
    return view.zoom * Math.max(1e-3, Math.min((place.clientWidth - 110) / wide, (place.clientHeight - 130) / high));
  };
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16) / 255);

  const draw = (n, sharpness, colours) => {
    const [wide, high] = [place.clientWidth, place.clientHeight];
    if (!wide || !high) return;  // while a window changes its size the page may have none for a moment
    const scale = pixels();
    const at = axes();
    [canvas.width, canvas.height] = [Math.round(wide * sharpness), Math.round(high * sharpness)];
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(...rgb(colours.back), 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.enable(gl.DEPTH_TEST);
    const uniforms = (used) => {
      gl.useProgram(used);
      const where = (name) => gl.getUniformLocation(used, name);
      gl.uniformMatrix3fv(where("turned"), true, at.flat());
      gl.uniform3fv(where("middle"), middle);
      gl.uniform2f(where("moved"), view.x, view.y);
      gl.uniform2f(where("scale"), (2 * scale) / wide, (2 * scale) / high);
      gl.uniform1f(where("reach"), reach);
      return where;
    };
    let where = uniforms(spheres);
    gl.uniform3fv(where("size"), size);
    gl.uniform2fv(where("deep"), data.depth_range);
    gl.uniform1f(where("largest"), data.largest_um);
    gl.uniform1f(where("least"), 1 / scale);
    gl.uniform2fv(where("range"), data.ranges[coloured]);
    gl.uniform2f(where("kept"), Math.max(cut[0], -1e30), Math.min(cut[1], 1e30));
    gl.uniform1i(where("byDepth"), coloured === "depth");
    gl.bindTexture(gl.TEXTURE_2D, textures[coloured]);
    gl.bindVertexArray(ofSpheres);
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, n);
    where = uniforms(flat);
    gl.uniform4f(where("tint"), ...rgb(colours.line), 1);
    gl.bindVertexArray(ofBox);
    gl.drawArrays(gl.LINES, 0, 24);
    gl.enable(gl.BLEND);
    gl.blendFuncSeparate(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA, gl.ZERO, gl.ONE);
    gl.depthMask(false);
    gl.uniform4f(where("tint"), ...rgb(colours.line), 0.5);
    gl.bindVertexArray(ofSubstrate);
    gl.drawArrays(gl.TRIANGLE_FAN, 0, data.substrate.length);
    gl.depthMask(true);
    gl.disable(gl.BLEND);
    [paper.width, paper.height] = [canvas.width, canvas.height];
    if (!canvas.width || !canvas.height) return;  // a card that is lost, or a page smaller than a pixel
    paper.getContext("2d").drawImage(canvas, 0, 0);
    write(at, scale, wide, high, colours.ink);
  };

  const element = (name, attributes, text = "") => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.textContent = text;
    return made;
  };
  const round = (length) => {
    const power = 10 ** Math.floor(Math.log10(length));
    return [5, 2, 1].find((step) => step * power <= length) * power;
  };
  // Names of the axes at their lower edges, scale bar, and what the colours mean.
  const write = (at, scale, wide, high, ink) => {
    const onPage = (point) => {
      const [x, y] = seen(point, at);
      return [wide / 2 + scale * x, high / 2 - scale * y];
    };
    const text = (x, y, words, anchor = "middle", size_px = 13) => element("text", { x, y, fill: ink, "font-size": size_px, "text-anchor": anchor, "font-family": "system-ui, Arial, sans-serif" }, words);
    const parts = [];
    const centre = onPage(middle);
    for (const axis of [0, 1, 2]) {
      const lines = edges.filter((edge) => edge.axis === axis).map(({ ends }) => ends.map(onPage));
      const mean = (line, i) => (line[0][i] + line[1][i]) / 2;
      // The lowest edge of those that lie flat, the leftmost of those that stand.
      const best = lines.reduce((a, b) => (axis === data.down ? mean(b, 0) < mean(a, 0) : mean(b, 1) > mean(a, 1)) ? b : a);
      const away = [0, 1].map((i) => mean(best, i) - centre[i]);
      const far = Math.hypot(...away) || 1;
      const beside = ([x, y], by) => [x + (by * away[0]) / far, y + 4 + (by * away[1]) / far];
      const short = Math.hypot(best[0][0] - best[1][0], best[0][1] - best[1][1]) < 70;
      if (short) continue;
      parts.push(text(...beside([mean(best, 0), mean(best, 1)], 30), `${"xyz"[axis]} (µm)`));
      // A little towards the middle, or the numbers of two axes would meet at their corner.
      const inward = (i) => [0, 1].map((j) => best[i][j] + 0.04 * (best[1 - i][j] - best[i][j]));
      best.forEach((_, i) => parts.push(text(...beside(inward(i), 16), i ? String(Math.round(size[axis])) : "0", "middle", 11)));
    }
    if (chosen >= 0) {
      const { at: centre, diameter } = domain(chosen);
      const [cx, cy] = onPage(centre);
      parts.push(element("circle", { class: "chosen", cx, cy, r: Math.max(6, (scale * diameter) / 2 + 3), fill: "none", stroke: "#ff00ff", "stroke-width": 2.5 }));
    }
    const bar = round(wide / 5 / scale);
    parts.push(element("rect", { x: 12, y: high - 18, width: bar * scale, height: 4, fill: ink }), text(12 + (bar * scale) / 2, high - 24, `${bar} µm`));
    const [low, top] = data.ranges[coloured];
    const length = Math.min(220, wide / 2.5), left = wide - length - 16;
    const shades = element("linearGradient", { id: `${place.id}-shades` });
    data.colours[coloured].forEach((colour, i, all) => shades.append(element("stop", { offset: i / (all.length - 1), "stop-color": `rgb(${colour})` })));
    const title = coloured === "depth" ? place.dataset.depth : place.dataset.diameter;
    parts.push(shades, element("rect", { x: left, y: high - 26, width: length, height: 10, fill: `url(#${place.id}-shades)` }));
    parts.push(text(left + length / 2, high - 32, title), text(left, high - 4, String(low), "start", 11), text(left + length, high - 4, String(top), "end", 11));
    labels.setAttribute("viewBox", `0 0 ${wide} ${high}`);
    labels.replaceChildren(...parts);
  };

  const theme = () => ({ back: css("--panel"), line: css("--soft"), ink: css("--ink") });
  const sharp = () => {
    cancelAnimationFrame(frame);  // one that is late would leave its coarse picture
    frame = null;
    draw(count, Math.min(2, Math.max(1.5, devicePixelRatio)), theme());
    place.dataset.still = "";
  };
  // While something moves: fewer spheres where the machine is slow, then everything, sharp.
  const move = () => {
    delete place.dataset.still;
    clearTimeout(rest);
    rest = setTimeout(sharp, 250);
    frame ??= requestAnimationFrame(() => {
      frame = null;
      const begin = performance.now();
      draw(moving, 1, theme());
      paper.getContext("2d").getImageData(0, 0, 1, 1);  // waits for the card
      const spent = performance.now() - begin;
      if (spent > 40) moving = Math.max(Math.min(count, 3000), Math.round(moving * 0.6));
      if (spent < 12) moving = Math.min(count, Math.round(moving * 1.5) + 1);
    });
  };
  const turn = (azimuth, elevation) => {
    view.azimuth += azimuth;
    view.elevation = Math.max(-Math.PI / 2, Math.min(Math.PI / 2, view.elevation + elevation));
    move();
  };
  const nearer = (factor) => {
    view.zoom = Math.max(0.5, Math.min(60, view.zoom * factor));
    move();
  };
  const turns = {
    left: () => turn(-0.2, 0), right: () => turn(0.2, 0), up: () => turn(0, 0.2), down: () => turn(0, -0.2),
    nearer: () => nearer(1.25), further: () => nearer(0.8), first: () => move(Object.assign(view, first)),
  };
  const keys = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down", "+": "nearer", "=": "nearer", "-": "further", 0: "first" };
  place.addEventListener("keydown", (event) => {
    if (!(event.key in keys) || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    turns[keys[event.key]]();
  });
  for (const button of figure.querySelectorAll("[data-turn]")) button.addEventListener("click", turns[button.dataset.turn]);
  for (const choice of figure.querySelectorAll("input[type=radio]")) {
    choice.checked = choice.value === coloured;
    choice.addEventListener("change", () => { coloured = choice.value; sharp(); });
  }
  let pressed = [0, 0];
  place.addEventListener("pointerdown", (event) => {
    place.focus({ preventScroll: true });
    place.setPointerCapture(event.pointerId);
    pressed = [event.clientX, event.clientY];
  });
  // A press that did not move is a click: it chooses the domain under it.
  place.addEventListener("pointerup", (event) => {
    if (Math.hypot(event.clientX - pressed[0], event.clientY - pressed[1]) > 4) return;
    choose(under(event));
  });
  place.addEventListener("pointermove", (event) => {
    if (!event.buttons) return point(event);
    if (event.shiftKey || event.buttons > 1) {
      const scale = pixels();
      view.x -= event.movementX / scale;
      view.y += event.movementY / scale;
      return move();
    }
    return turn(-event.movementX / 150, event.movementY / 150);
  });
  // Only after a click, so that whoever scrolls the page past the picture is not held up.
  place.addEventListener("wheel", (event) => {
    if (document.activeElement !== place) return;
    event.preventDefault();
    nearer(1.002 ** -event.deltaY);
  }, { passive: false });

  const domain = (i) => {
    const at = [0, 1, 2].map((axis) => (positions[3 * i + axis] / 65535) * size[axis]);
    const [nearest, furthest] = data.depth_range;
    return { at, diameter: (diameters[i] / 65535) * data.largest_um, depth: nearest + (depths[i] / 65535) * (furthest - nearest) };
  };
  // The nearest sphere under the pointer, told when the pointer rests.
  let pointed = null;
  const point = (event) => {
    clearTimeout(pointed);
    pointed = setTimeout(() => tell(event), 80);
  };
  const under = (event) => {
    const frame_px = place.getBoundingClientRect();
    const scale = pixels(), at = axes();
    const x = (event.clientX - frame_px.left - place.clientWidth / 2) / scale, y = (place.clientHeight / 2 - event.clientY + frame_px.top) / scale;
    const least = 3 / scale;  // pixels: a far domain can still be hit
    let best = -1, nearest = -Infinity;
    for (let i = 0; i < count; i++) {
      const { at: centre, diameter, depth } = domain(i);
      if (depth < cut[0] || depth > cut[1]) continue;
      const [u, v, w] = seen(centre, at);
      const left = Math.max(diameter / 2, least) ** 2 - (u - x) ** 2 - (v - y) ** 2;
      if (left >= 0 && w + Math.sqrt(left) > nearest) [best, nearest] = [i, w + Math.sqrt(left)];
    }
    return best;
  };
  const tell = (event) => {
    const best = under(event);
    const words = (i) => { const { at: c, diameter, depth } = domain(i); return `${place.dataset.diameter}: ${diameter.toFixed(2)}\n${byDepth ? `${place.dataset.depth}: ${depth.toFixed(1)}\n` : ""}x, y, z: ${c.map((part) => part.toFixed(1)).join(", ")}`; };
    place.title = best < 0 ? "" : words(best);
  };
  const row = figure.querySelector("[data-chosen]");
  const choose = (i) => {
    chosen = i;
    row.hidden = i < 0;
    if (i >= 0) {
      const { at, diameter, depth } = domain(i);
      const cells = { id: String(ids[i]), diameter: diameter.toFixed(2), depth: depth.toFixed(1), x: at[0].toFixed(1), y: at[1].toFixed(1), z: at[2].toFixed(1) };
      for (const cell of row.querySelectorAll("[data-cell]")) cell.textContent = cells[cell.dataset.cell];
    }
    sharp();
  };
  const sliders = [...figure.querySelectorAll("[data-cut]")];
  const follow = () => {
    const ends = sliders.map((slider) => Number(slider.value)).sort((a, b) => a - b);
    [cut[0], cut[1]] = ends;
    figure.querySelector("[data-cut-shown]").textContent = `${ends.map((um) => Number(um.toPrecision(3))).join(" … ")} µm`;
    if (chosen >= 0 && (domain(chosen).depth < cut[0] || domain(chosen).depth > cut[1])) choose(-1);
    move();
  };
  for (const slider of sliders) {
    slider.value = slider.defaultValue;  // a reload may leave it where it was
    slider.addEventListener("input", follow);
  }

  const whole = (colours) => {
    draw(count, 2, colours);
    const picture = labels.cloneNode(true);
    const [wide, high] = [place.clientWidth, place.clientHeight];
    for (const [name, value] of Object.entries({ width: wide, height: high })) picture.setAttribute(name, value);
    picture.removeAttribute("aria-hidden");
    picture.prepend(element("image", { width: wide, height: high, href: paper.toDataURL("image/png") }));
    sharp();
    return new XMLSerializer().serializeToString(picture);
  };
  figures.set(place.id, {
    svg: () => whole({ back: "#ffffff", line: "#56626f", ink: "#17202a" }),
    csv: () => {
      const rows = [`domain_id,x_um,y_um,z_um,${byDepth ? "depth_um," : ""}equivalent_diameter_um`];
      for (let i = 0; i < count; i++) {
        const { at, diameter, depth } = domain(i);
        rows.push([ids[i], ...[...at, ...(byDepth ? [depth] : []), diameter].map((part) => part.toFixed(3))].join(","));
      }
      return rows.join("\n") + "\n";
    },
  });
  // Also when it is first shown, or shown again: without a size nothing can be drawn.
  new ResizeObserver(sharp).observe(place);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", sharp);
  window.addEventListener("beforeprint", () => draw(count, 2, { back: "#ffffff", line: "#56626f", ink: "#17202a" }));
  window.addEventListener("afterprint", sharp);
  sharp();
  performance.mark("scene-drawn");
};
for (const place of document.querySelectorAll(".scene")) drawScene(place);
