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
// reachable by keyboard. A box is measured when it comes near: measuring all of them would lay out the whole page.
const SCROLLABLE = ".vega-embed, .katex-display, .bd-article pre, .bd-article table";

const boxes = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) {
        reach(target);
        size.observe(target);
      }
    }
  },
  { rootMargin: "100% 0px" },
);
const size = new ResizeObserver((entries) => entries.forEach(({ target }) => reach(target)));

function reach(box) {
  if (box.scrollWidth > box.clientWidth + 1) {
    box.setAttribute("tabindex", "0");
  }
}

function reachScrollables() {
  for (const box of document.querySelectorAll(SCROLLABLE)) {
    boxes.observe(box);    // observing a box once more changes nothing
  }
}

// Interactive figures sleep (see _ext/page_weight.py): the first ones to come near load Vega. Once a reader moves,
// the others are drawn in idle time, so that a printed page has them all.
function wake(figure) {
  if (figure.isConnected) {
    const script = document.createElement("script");
    script.textContent = figure.textContent;
    figure.replaceWith(script);
  }
}

function wakeWhenNear() {
  const sleeping = [...document.querySelectorAll("script.sleeping-figure")];
  const near = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (isIntersecting) {
          near.unobserve(target);
          wake(target.nextElementSibling);
        }
      }
    },
    { rootMargin: "1000px 0px" },
  );
  for (const figure of sleeping) {
    near.observe(figure.previousElementSibling);
  }
  const idle = window.requestIdleCallback ?? ((task) => setTimeout(task, 200));
  const wakeNext = () => {
    const figure = sleeping.find((candidate) => candidate.isConnected);
    if (figure) {
      wake(figure);
      idle(wakeNext);
    }
  };
  for (const sign of ["scroll", "pointerdown", "keydown"]) {
    window.addEventListener(sign, () => idle(wakeNext), { once: true, passive: true });
  }
  window.addEventListener("beforeprint", () => sleeping.forEach(wake));
}

document.addEventListener("DOMContentLoaded", () => {
  wakeWhenNear();
  nameGroups();
  reachScrollables();
  new MutationObserver(() => {
    nameGroups();
    reachScrollables();
  }).observe(document.querySelector("main") ?? document.body, { childList: true, subtree: true });
});
