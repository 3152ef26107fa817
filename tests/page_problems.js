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
        const words = figure.querySelectorAll('.gtitle, .xtitle, .ytitle, .legendtext, .xtick text, .ytick text');
        for (const word of words) {
            const at = word.getBoundingClientRect();
            if (at.width && (at.left < box.left - 4 || at.right > box.right + 4 || at.top < box.top - 4 || at.bottom > box.bottom + 4))
                say(`"${word.textContent}" is cut off`);
        }
        const tick = figure.querySelector('.xtick text');
        if (tick && getComputedStyle(tick).fill !== getComputedStyle(figure).color) say(`axis in ${getComputedStyle(tick).fill} on ${theme}`);
    });
    return wrong;
}
