// Everything that can be wrong with a page as it stands, in words; called with the theme.
theme => {
    const wrong = [], article = document.querySelector('article') || document.body, width = document.documentElement.clientWidth;
    const name = element => element.tagName.toLowerCase() + '.' + (element.getAttribute('class') || '').trim().replace(/\s+/g, '.');
    if (document.documentElement.dataset.theme !== theme) wrong.push(`theme is ${document.documentElement.dataset.theme}`);
    if (document.documentElement.scrollWidth > width + 1) {
        const wide = [...article.querySelectorAll('*')].filter(e => e.getBoundingClientRect().right > width + 1).slice(0, 3);
        wrong.push(`page overflows by ${document.documentElement.scrollWidth - width}: ${wide.map(name)}`);
    }
    for (const formula of document.querySelectorAll('mjx-merror, [data-mjx-error]')) wrong.push(`formula: ${formula.textContent}`);
    const prose = article.cloneNode(true);
    prose.querySelectorAll('pre, code, script, .math, .mfoml-figure').forEach(e => e.remove());
    const raw = prose.textContent.match(/\$\$|\\\(|\\\[|\\begin\{|\$[^$\s][^$]*[\\_^][^$]*\$/);
    if (raw) wrong.push(`a formula was left as text near: ${prose.textContent.substr(raw.index, 60)}`);
    for (const image of article.querySelectorAll('img')) {
        if (!image.complete || !image.naturalWidth) wrong.push(`no picture: ${image.src}`);
        if (!image.alt.trim()) wrong.push(`a picture without words: ${image.src}`);
    }
    [...document.querySelectorAll('.mfoml-figure')].forEach((figure, number) => {
        const say = text => wrong.push(`figure ${number + 1}: ${text}`);
        if (figure.getAttribute('role') !== 'img' || !figure.getAttribute('aria-label')?.trim()) say('no alternative text');
        const svg = figure.querySelector('svg.main-svg'), box = svg?.getBoundingClientRect(), column = figure.getBoundingClientRect();
        if (!svg || box.width < 100 || box.height < 100) return say('empty');
        if (!figure.querySelector('.overplot path, .overplot image, .imagelayer image, .gl-container canvas, .pielayer path, .polarlayer path')) say('nothing drawn');
        if (Math.abs(box.width - column.width) > 2 || column.right > width + 1) say(`${box.width} wide in a column of ${column.width}`);
        const words = figure.querySelectorAll('.gtitle, .xtitle, .ytitle, .legendtext, .xtick text, .ytick text, .annotation-text');
        for (const word of words) {
            const at = word.getBoundingClientRect();
            if (at.width && (at.left < box.left - 4 || at.right > box.right + 4 || at.top < box.top - 4 || at.bottom > box.bottom + 4))
                say(`"${word.textContent}" is cut off`);
        }
        const tick = figure.querySelector('.xtick text');
        if (tick && getComputedStyle(tick).fill !== getComputedStyle(figure).color) say(`axis in ${getComputedStyle(tick).fill} on ${theme}`);
    });
    // Tick labels that overlap, or that the plot turned because they would.
    [...document.querySelectorAll('.mfoml-figure')].forEach((figure, number) => {
        for (const axis of figure.querySelectorAll('.xaxislayer-above, .yaxislayer-above')) {
            const labels = [...axis.querySelectorAll('.xtick text, .ytick text')].filter(e => e.getBoundingClientRect().width);
            const turned = labels.find(e => /rotate\((?!0[,)]|-?90[,)])/.test(e.getAttribute('transform') || ''));  // upright or on end
            if (turned) { wrong.push(`figure ${number + 1}: slanted label "${turned.textContent}"`); continue; }
            const boxes = labels.map(e => [e.textContent, e.getBoundingClientRect()]);
            const over = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1.5 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3;
            for (let i = 1; i < boxes.length; i++) if (over(boxes[i - 1][1], boxes[i][1])) {
                wrong.push(`figure ${number + 1}: labels "${boxes[i - 1][0]}" and "${boxes[i][0]}" overlap`);
                break;
            }
        }
    });
    // Contrast of text with the ground that it stands on: 4.5, and 3 for large letters (WCAG 2.2).
    const channels = colour => (colour.match(/[\d.]+/g) || []).map(Number);
    const luminance = ([r, g, b]) => [r, g, b].map(c => c / 255).map(c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
    const over = (top, below) => { const a = top[3] ?? 1; return [0, 1, 2].map(i => top[i] * a + below[i] * (1 - a)); };
    const ground = element => {
        const layers = [];
        for (let e = element; e; e = e.parentElement) {
            const colour = channels(getComputedStyle(e).backgroundColor);
            if ((colour[3] ?? 1) > 0) layers.push(colour);
            if ((colour[3] ?? 1) === 1 && colour.length) break;
        }
        return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
    };
    const ratioOf = (a, b) => { const [x, y] = [luminance(a), luminance(b)].sort((one, other) => other - one); return (x + .05) / (y + .05); };
    // Marks of a figure (lines, dots, bars, error bars, borders) against its ground: 4.5. Cells of heat maps are none, and what lies
    // on cells is seen by its outline; bands are areas beside a line.
    const MARKS = {
        stroke: '.scatterlayer .js-line, .errorbar path, .shapelayer path, .boxlayer path.box, .polarlayer .js-line',
        fill: '.scatterlayer path.point, .barlayer .point path, .pielayer .surface, .polarlayer path.point, .legendpoints path',
    };
    const faded = element => { let all = 1; for (let e = element; e && e.tagName !== 'DIV'; e = e.parentElement) all *= +getComputedStyle(e).opacity; return all; };
    const paint = (style, kind, opacity) => {  // as [r, g, b, a], or null for none
        const colour = style[kind] === 'none' || style[kind].startsWith('url') ? [] : channels(style[kind]);
        return colour.length < 3 ? null : [...colour.slice(0, 3), (colour[3] ?? 1) * style[`${kind}Opacity`] * opacity];
    };
    [...document.querySelectorAll('.mfoml-figure')].forEach((figure, number) => {
        const below = ground(figure), told = new Set(), pale = [];
        for (const [kind, found] of Object.entries(MARKS)) for (const mark of figure.querySelectorAll(found)) {
            const style = getComputedStyle(mark), opacity = faded(mark), lined = parseFloat(style.strokeWidth) > 0;
            const key = `${kind}|${style.fill}|${style.fillOpacity}|${style.stroke}|${style.strokeOpacity}|${lined}|${opacity}`;
            if (told.has(key) || !opacity) continue;
            told.add(key);
            const line = lined && paint(style, 'stroke', opacity), area = kind === 'fill' && paint(style, 'fill', opacity);
            const on = [line, area].filter(one => one && one[3] > 0).map(one => over(one, below));
            if (!on.length) continue;  // an area with no line, drawn behind the marks
            const onCells = mark.closest('.plot, .shapelayer, .main-svg').querySelector('.heatmaplayer image, .imagelayer image') || figure.querySelector('.heatmaplayer image');
            const best = Math.max(...on.map(one => ratioOf(one, below))), apart = on.length === 2 ? ratioOf(...on) : 0;
            if (best < 4.49 && !(onCells && (apart >= 4.49 || kind === 'stroke')))
                pale.push(`contrast ${best.toFixed(2)} of a mark (${on.map(one => one.map(Math.round)).join(' and ')} on ${below.map(Math.round)}) ${name(mark)}`);
        }
        if (pale.length) wrong.push(`figure ${number + 1}: ${pale[0]}${pale.length > 1 ? ` and ${pale.length - 1} more` : ''}`);
    });
    // On a phone a legend takes its room from the page, not from the plot.
    if (width < 560) [...document.querySelectorAll('.mfoml-figure')].forEach((figure, number) => {
        const plot = figure.querySelector('.mfoml-plot'), enough = Math.min(220, (figure.mfomlFigure.layout?.height || 420) - 110);
        if (plot?._fullLayout?._size.h < enough - 6) wrong.push(`figure ${number + 1}: a plot of ${Math.round(plot._fullLayout._size.h)} px, ${enough} asked`);
    });
    const seen = new Set();
    const walker = document.createTreeWalker(article, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement, text = walker.currentNode.textContent.trim();
        if (!text || element.closest('script, style, noscript, mjx-assistive-mml, [aria-hidden=true], .plotly-notifier, .heatmap-label, .bartext-inside')) continue;
        const box = element.getBoundingClientRect();
        if (!box.width || !box.height) continue;
        const style = getComputedStyle(element), colour = channels(element.closest('svg') ? style.fill : style.color);
        if (colour.length < 3 || style.visibility === 'hidden' || style.opacity === '0') continue;
        const below = ground(element.closest('svg') ? element.closest('.mfoml-figure, svg').parentElement : element);
        const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
        const ratio = ratioOf(over(colour, below), below);
        const key = `${colour}|${below}|${large}`;
        if (ratio < (large ? 3 : 4.5) - .01 && !seen.has(key)) {
            seen.add(key);
            wrong.push(`contrast ${ratio.toFixed(2)} of "${text.slice(0, 30)}" (${colour} on ${below.map(Math.round)}) in ${name(element)}`);
        }
    }
    return wrong;
}
