// Two small things the figures and boxes cannot say for themselves.

// Vega labels its inputs, but a group of radio buttons only has a name standing beside it. Vega draws them after
// the page has loaded, so groups are named when they appear.
function nameGroups() {
  for (const group of document.querySelectorAll(".vega-bind-radio:not([role])")) {
    const name = group.closest(".vega-bind")?.querySelector(".vega-bind-name");
    group.setAttribute("role", "radiogroup");
    group.setAttribute("aria-label", name?.textContent.trim() ?? "choice");
  }
}

// A figure or a formula that is wider than a phone scrolls inside its own box; a box that scrolls must be
// reachable by keyboard.
const SCROLLABLE = ".vega-embed, .katex-display, .bd-article pre, .bd-article table";

function reachScrollables() {
  for (const box of document.querySelectorAll(SCROLLABLE)) {
    if (box.scrollWidth > box.clientWidth + 1 && !box.hasAttribute("tabindex")) {
      box.setAttribute("tabindex", "0");
    }
  }
}

document.addEventListener("DOMContentLoaded", () => {
  nameGroups();
  reachScrollables();
  new MutationObserver(() => {
    nameGroups();
    reachScrollables();
  }).observe(document.querySelector("main") ?? document.body, { childList: true, subtree: true });
  window.addEventListener("resize", reachScrollables);
});
