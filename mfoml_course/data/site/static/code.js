// On a phone a long cell of code shows its beginning, and a button shows the rest.
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

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll(".bd-article div.cell_input").forEach(foldable);
  });
})();
