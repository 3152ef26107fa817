// What must fit its column: on a phone a long cell of code shows its beginning, and a button shows the rest;
// a formula that is a little too wide is set in smaller letters, a far too wide one scrolls.
(() => {
  "use strict";
  const MOST = 14;  // lines that stand there unfolded

  const foldable = (box) => {
    const lines = box.querySelectorAll(".highlight .line").length;
    if (lines <= MOST || box.closest("details")) return;
    const button = Object.assign(document.createElement("button"), { type: "button", className: "mfoml-more" });
    const show = (folded) => {
      box.classList.toggle("mfoml-folded", folded);
      button.setAttribute("aria-expanded", String(!folded));
      button.textContent = folded ? `Show all ${lines} lines` : "Show less";
    };
    button.addEventListener("click", () => show(!box.classList.contains("mfoml-folded")));
    show(true);
    box.append(button);
  };

  const SMALLEST = 10.5;  // px of a formula's letters, so that they can be read
  const fitFormulas = () => {
    for (const formula of document.querySelectorAll("div.math")) {
      formula.style.fontSize = "";
      const box = formula.querySelector("mjx-container"), share = box ? 0.98 * box.clientWidth / box.scrollWidth : 1;
      if (share < 0.98 && share * parseFloat(getComputedStyle(box).fontSize) >= SMALLEST) formula.style.fontSize = `${100 * share}%`;
    }
  };

  let width = 0;
  const fitAgain = () => {
    if (window.innerWidth !== width) fitFormulas();
    width = window.innerWidth;
  };
  window.addEventListener("load", () => window.MathJax?.startup?.promise?.then(() => {
    fitAgain();
    window.addEventListener("resize", fitAgain);
  }));

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll(".bd-article div.cell_input").forEach(foldable);
  });
})();
