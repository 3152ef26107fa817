// Draws the page's plotly figures: each as wide as its column, in the colours of the page's theme.
// The page holds <div class="mfoml-figure" role="img" aria-label="..."> with the figure's JSON in a script element inside.
(() => {
  const plotlyUrl = new URL("plotly.min.js", document.currentScript.src).href;  // beside this file, never a CDN
  const NARROW = 560;  // px: below this the legend moves under the plot

  const merge = (base, extra) => {
    const merged = { ...(base || {}) };
    for (const [key, value] of Object.entries(extra))
      merged[key] = value && typeof value === "object" && !Array.isArray(value) ? merge(merged[key], value) : value;
    return merged;
  };

  const wrap = (text, most) => text.split(" ").reduce((lines, word) => {
    if (lines.length && (lines.at(-1) + " " + word).length <= most) lines[lines.length - 1] += " " + word;
    else lines.push(word);
    return lines;
  }, []);

  // The course's colours on white paper, and their partners on the dark page: ON_DARK of mfoml_course.plots.figures.
  const ON_DARK = {
    "#034190": "#80A2FE", "#900902": "#F64A54", "#5E7D46": "#99E670", "#C80375": "#FF6399", "#B35E01": "#CD8316", "#3178B7": "#55D7FE",
    "#5E07BC": "#8676FE", "#564B30": "#CDC816", "#5C0160": "#D358D2", "#6E58CD": "#AB9AC8", "#5C5C5C": "#A8ADB4",
  };
  const onDark = (part) => {  // a copy in the partners; any other colour is its author's choice and stays
    if (typeof part === "string") return ON_DARK[part.toUpperCase()] || part;
    if (Array.isArray(part)) return part.length && typeof part.at(-1) === "number" ? part : part.map(onDark);
    if (!part || typeof part !== "object") return part;
    return Object.fromEntries(Object.entries(part).map(([key, value]) => [key, onDark(value)]));
  };

  // What the theme decides goes into the figure's template, so that a colour the author chose stays.
  const themed = (element) => {
    const text = getComputedStyle(element).color;
    const [r, g, b] = text.match(/[\d.]+/g);
    const line = `rgba(${r}, ${g}, ${b}, 0.18)`;
    const clear = "rgba(0, 0, 0, 0)";
    const axis = { gridcolor: line, zerolinecolor: line, linecolor: line, tickcolor: line };
    const solid = { ...axis, backgroundcolor: clear };
    return {
      paper_bgcolor: clear, plot_bgcolor: clear, font: { color: text }, title: { font: { color: text } },
      xaxis: axis, yaxis: axis, legend: { bgcolor: clear, font: { color: text } },
      scene: { xaxis: solid, yaxis: solid, zaxis: solid },
    };
  };

  // Names on a horizontal axis stand upright, in lines that fit between their neighbours; where none fits they stand on end.
  const LETTER = 0.56;  // of the letters' height, the mean width of a letter
  const axisNames = (figure, layout, side) => {  // axis: [places, names]
    const names = {};
    for (const trace of figure.data || []) {
      const axis = `${side}axis${(trace[`${side}axis`] || side).slice(1)}`, at = trace[side];
      if ((side === "x" && trace.orientation === "h") || !Array.isArray(at) || !at.some((one) => typeof one === "string" && isNaN(one) && isNaN(Date.parse(one)))) continue;
      const all = [...new Set([...(names[axis]?.[0] || []), ...at])];
      names[axis] = [all, all];
    }
    for (const [axis, own] of Object.entries(layout))
      if (axis.startsWith(`${side}axis`) && own.ticktext?.some((one) => isNaN(one))) names[axis] = [own.tickvals, own.ticktext];
    return names;
  };

  const namedAxes = (figure, layout, width) => {
    const size = layout.font?.size ?? layout.template?.layout?.font?.size ?? 12;
    for (const [axis, [places, names]] of Object.entries(axisNames(figure, layout, "x"))) {
      const own = layout[axis] || {};
      if (own.tickangle !== undefined) continue;
      const [from, to] = own.domain || [0, 1], room = (to - from) * (width - 80) / names.length;
      const lines = names.map((name) => wrap(String(name).replace(/([_.])(?=.)/g, "$1 "), Math.max(1, Math.floor(room / (size * LETTER)))));
      const fits = lines.flat().every((line) => line.length * size * LETTER <= room);
      const upright = { tickangle: 0, tickmode: "array", tickvals: places, ticktext: lines.map((parts) => parts.join("<br>")) };
      layout[axis] = { ...own, ...(fits ? upright : { tickangle: -90 }), automargin: true };
    }
  };

  // On a phone long names at the left would leave no room for the plot: they go on below where their rows are high enough.
  const namesAtTheLeft = (figure, layout, width) => {
    const size = layout.font?.size ?? layout.template?.layout?.font?.size ?? 12;
    for (const [axis, [places, names]] of Object.entries(axisNames(figure, layout, "y"))) {
      const own = layout[axis] || {}, [from, to] = own.domain || [0, 1], row = (to - from) * (layout.height - 110) / names.length;
      for (const share of [0.35, 0.42, 0.5]) {  // of the width
        const most = Math.floor(share * width / (size * LETTER));
        if (names.every((name) => String(name).length <= most)) break;
        const lines = names.map((name) => wrap(String(name), most));
        if (lines.some((parts) => parts.length * size * 1.3 > row)) continue;
        layout[axis] = { ...own, tickmode: "array", tickvals: places, ticktext: lines.map((parts) => parts.join("<br>")), automargin: true };
        break;
      }
    }
  };

  // On a phone panels of curves that stand side by side stand one below the other, each with its own title and legend.
  const PANEL = 210, BETWEEN = 84;  // px
  const DRAWN = ["scatter", "bar", undefined];
  const besides = (figure, layout) => {  // the panels in reading order, or none where they share an axis or hold pictures
    const axes = Object.keys(layout).filter((key) => /^xaxis\d*$/.test(key) && layout[key].domain);
    const panels = axes.map((key) => ({ x: layout[key], y: layout[`yaxis${(layout[key].anchor || "y").slice(1)}`] }));
    const fits = ({ y }) => y?.domain && !y.matches && y.showticklabels !== false && !y.scaleanchor;
    if (new Set(panels.map(({ x }) => x.domain[0].toFixed(2))).size !== 2 || !panels.every(fits)) return [];
    if (figure.data.some((trace) => !DRAWN.includes(trace.type) || trace.orientation === "h") || layout.sliders) return [];
    return panels.sort((a, b) => b.y.domain[1] - a.y.domain[1] || a.x.domain[0] - b.x.domain[0]);
  };

  const stack = (figure, layout) => {
    const panels = besides(figure, layout), rest = 110, above = (layout.margin?.t ?? 44);
    if (!panels.length) return;
    const plot = panels.length * (PANEL + BETWEEN) - BETWEEN, before = layout.height - rest, tall = plot + rest;
    const old = panels.map(({ x, y }) => ({ x: [...x.domain], y: [...y.domain] }));
    const inside = (at, [from, to]) => at > from - 0.01 && at < to + 0.01;
    const panelAt = (one) => old.findIndex(({ x, y }) => inside(one.x, x) && inside(one.y, y));
    const legends = Object.entries(layout).filter(([key, one]) => /^legend\d+$/.test(key) && one.yref === "paper").map(([, one]) => one);
    const marked = [...legends, ...(layout.annotations || []).filter((one) => one.xref === "paper" && one.yref === "paper")];
    const places = marked.map(panelAt);
    panels.forEach((panel, i) => {
      const top = 1 - i * (PANEL + BETWEEN) / plot;
      panel.x.domain = [0, 1];
      panel.y.domain = [Math.max(0, top - PANEL / plot), top];
    });
    marked.forEach((one, i) => {
      if (places[i] < 0) one.y *= before / plot;  // below all panels
      else {
        const { x, y } = old[places[i]], now = panels[places[i]].y.domain;
        one.x = (one.x - x[0]) / (x[1] - x[0]);
        one.y = now[0] + (one.y - y[0]) / (y[1] - y[0]) * (now[1] - now[0]);
      }
    });
    Object.assign(layout, higher(layout, tall + Math.max(0, above - 64)));
  };

  // Words below a figure go on where it ends.
  const wrapWords = (layout, width) => {
    const size = layout.font?.size ?? layout.template?.layout?.font?.size ?? 12;
    for (const note of layout.annotations || []) {
      if (note.xref !== "paper" || note.xanchor !== "left" || note.align !== "left" || note.showarrow) continue;
      const before = note.text.split("<br>").length, lines = wrap(note.text.replaceAll("<br>", " "), Math.floor((width - 70) / (size * 0.5)));
      note.text = lines.join("<br>");
      layout.margin = { ...(layout.margin || {}), b: (layout.margin?.b ?? 14) + 18 * (lines.length - before) };
      layout.height += 18 * (lines.length - before);
    }
  };

  const wrapTitles = (layout, width) => {  // of panels, each above its own
    const size = layout.font?.size ?? layout.template?.layout?.font?.size ?? 12, axes = Object.entries(layout).filter(([key, { domain }]) => /^xaxis/.test(key) && domain);
    const more = (layout.annotations || []).map((note) => {
      if (note.xref !== "paper" || note.yref !== "paper" || note.xanchor !== "center" || note.showarrow) return 0;
      const own = axes.find(([, { domain: [from, to] }]) => Math.abs((from + to) / 2 - note.x) < 0.02);
      if (!own) return 0;
      const [from, to] = own[1].domain, lines = wrap(note.text, Math.max(6, Math.floor((to - from) * (width - 60) / (size * 0.54))));
      note.text = lines.join("<br>");
      return note.y > 0.98 ? lines.length - 1 : 0;
    });
    layout.margin = { ...layout.margin, t: (layout.margin?.t ?? 44) + 1.3 * size * Math.max(0, ...more) };
  };

  const SHOWN = 1.3;  // on a slide letters are larger, and the figure with them
  const TALLEST = 540;  // px, so that a title stands above
  const enlarge = (layout) => {
    const own = layout.template?.layout || {}, size = own.font?.size ?? 12, letters = { font: { size: size * SHOWN } };
    const axis = { title: letters };
    layout.template = merge(layout.template, { layout: {
      ...letters, title: { font: { size: (own.title?.font?.size ?? size) * SHOWN } }, xaxis: axis, yaxis: axis, annotationdefaults: letters,
    } });
    layout.height = Math.max(layout.height, Math.min(layout.height * SHOWN, TALLEST));
    layout.margin = { ...(own.margin || {}), ...(layout.margin || {}) };
    layout.margin.t = (layout.margin.t ?? 44) * SHOWN;
  };

  const layoutFor = (element, figure) => {
    const layout = structuredClone(figure.layout || {});
    for (const key of ["width", "paper_bgcolor", "plot_bgcolor"]) delete layout[key];
    if (layout.font) delete layout.font.color;
    if (layout.legend) delete layout.legend.bgcolor;
    for (const shape of layout.shapes || []) if (shape.label?.font) delete shape.label.font.color;
    for (const slider of layout.sliders || []) if (slider.font) delete slider.font.color;
    layout.autosize = true;
    layout.height = layout.height || 420;
    if (!layout.margin && !layout.template?.layout?.margin)
      layout.margin = { t: layout.title?.text ? 56 : 16, b: 48, l: 56, r: 16 };
    layout.template = merge(layout.template, { layout: themed(element) });
    if (element.closest(".reveal")) enlarge(layout);
    namedAxes(figure, layout, element.clientWidth);
    if (element.clientWidth < NARROW) {
      namesAtTheLeft(figure, layout, element.clientWidth);
      const wide = layout.margin || layout.template.layout.margin || {};
      layout.margin = { ...wide, l: Math.min(wide.l ?? 48, 48), r: Math.min(wide.r ?? 12, 12) };
      if (layout.title?.text) {  // a title longer than the figure goes on below
        const size = layout.title.font?.size ?? layout.template.layout.title?.font?.size ?? 17;
        const lines = wrap(layout.title.text, Math.floor((element.clientWidth - 16) / (size * 0.52)));
        layout.title.text = lines.join("<br>");
        const more = (lines.length - 1) * size * 1.3;
        layout.margin.t = (wide.t ?? 56) + more;
        layout.title.pad = { ...(layout.template.layout.title?.pad || {}), ...(layout.title.pad || {}) };
        layout.title.pad.t = (layout.title.pad.t ?? 0) + more / 2;  // plotly centres the lines on the first one's place
        if (layout.legend?.y !== undefined) layout.legend = { ...layout.legend, y: layout.legend.y - more / layout.height };
      }
      stack(figure, layout);
      wrapWords(layout, element.clientWidth);
      wrapTitles(layout, element.clientWidth);
      const legend = { ...(layout.template.layout.legend || {}), ...(layout.legend || {}) };
      if (legend.yref === "container") layout.legend = { ...(layout.legend || {}), xref: "container", x: 0.02 };  // from the figure's edge
      if (legend.orientation !== "h") layout.legend = { ...(layout.legend || {}), orientation: "h", x: 0, xanchor: "left", y: -0.22, yanchor: "top" };
    }
    return layout;
  };

  const isOnDark = (element) => {  // light letters stand on a dark page
    const [r, g, b] = getComputedStyle(element).color.match(/[\d.]+/g);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b > 128;
  };

  // On a phone a long legend or title makes the figure higher, not the plot lower: it keeps 220 px, or all but 110 px of a low figure's height.
  const grown = (plot, figure, layout) => {  // the layout with room, or null where there is enough
    const height = figure.layout?.height || 420, missing = Math.min(220, height - 110) - plot._fullLayout._size.h;
    return missing > 1 ? higher(layout, layout.height + Math.ceil(missing)) : null;
  };

  const higher = (layout, height) => {  // what hangs from the top keeps its distance
    const own = (legend) => legend?.yref ?? layout.template?.layout?.legend?.yref;
    const moved = Object.entries(layout).filter(([key, value]) => key.startsWith("legend") && own(value) === "container" && value.y !== undefined)
      .map(([key, value]) => [key, { ...value, y: 1 - (1 - value.y) * layout.height / height }]);
    return { ...layout, ...Object.fromEntries(moved), height };
  };

  const draw = async (element) => {
    element.mfomlWidth = element.clientWidth;
    if (!element.clientWidth) {  // on a slide or in a fold that is not open: drawn when it is
      element.dataset.state = "hidden";
      return;
    }
    const figure = isOnDark(element) ? onDark(element.mfomlFigure) : element.mfomlFigure;
    element.mfomlDrawing = (element.mfomlDrawing || 0) + 1;  // what is under way: a theme and a width may change at once
    element.dataset.state = "drawing";
    try {
      const plot = element.querySelector(".mfoml-plot");
      let layout = layoutFor(element, figure);
      for (let tries = 0; layout && tries < 3; tries += 1) {
        plot.style.height = `${layout.height}px`;
        await Plotly.react(plot, {
          data: figure.data, layout, frames: figure.frames || [],
          config: { displaylogo: false, responsive: false },
        });
        layout = element.clientWidth < NARROW ? grown(plot, figure, layout) : null;
      }
      if (element.mfomlDrawing === 1) element.dataset.state = "drawn";
    } catch (error) {
      element.dataset.state = "failed";
      console.error("a figure could not be drawn", error);
    } finally {
      element.mfomlDrawing -= 1;
    }
  };

  const start = async () => {
    const elements = [...document.querySelectorAll(".mfoml-figure")];
    if (!elements.length) return;
    await new Promise((resolve, reject) => {
      const script = Object.assign(document.createElement("script"), { src: plotlyUrl, onload: resolve, onerror: reject });
      document.head.append(script);
    });
    for (const element of elements) {
      element.mfomlFigure = JSON.parse(element.querySelector("script").textContent);
      await draw(element);
    }
    const all = () => elements.forEach(draw);
    new MutationObserver(all).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    const sizes = new ResizeObserver((changes) => changes.forEach(({ target }) => {
      if (Math.abs(target.clientWidth - target.mfomlWidth) > 1) requestAnimationFrame(() => draw(target));
    }));
    elements.forEach((element) => sizes.observe(element));
    window.addEventListener("beforeprint", all);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", all);  // of a report, which has no switch
  };

  // Before the load event the column has not its width yet, and figures come out too wide.
  if (document.readyState === "complete") start(); else window.addEventListener("load", start);
})();
