// Small things that the theme, the figures and the boxes do not do by themselves.

// Vega labels its inputs and marks, but a group of radio buttons only has a name standing beside it, and a mark without
// data has none. Vega draws them after the page has loaded, so they are mended when they appear.
function nameGroups() {
  for (const mark of document.querySelectorAll(".vega-embed [role='graphics-symbol']:not([aria-label])")) {
    mark.setAttribute("role", "none");    // a line that says nothing, such as a zero
  }
  for (const group of document.querySelectorAll(".vega-bind-radio:not([role])")) {
    const name = group.closest(".vega-bind")?.querySelector(".vega-bind-name");
    group.setAttribute("role", "radiogroup");
    group.setAttribute("aria-label", name?.textContent.trim() ?? "choice");
  }
}

// A figure or a formula that is wider than a phone scrolls inside its own box; a box that scrolls must be
// reachable by keyboard. A box is measured when it comes near: measuring all of them would lay out the whole page.
const SCROLLABLE = `.vega-embed, .katex-display, .bd-article pre, .bd-article table, .pst-scrollable-table-container,
  .cell_output > .output`;

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

// A link to a place in a page stays there while the figures before it, or in it, are drawn: until the reader moves, or
// for some seconds.
function stayAtPlace() {
  const seconds = 5;
  let until = 0;
  const follow = () => (until = location.hash ? Date.now() + 1000 * seconds : 0);
  const grown = new ResizeObserver(() => {
    if (Date.now() < until) {
      document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
    }
  });
  grown.observe(document.querySelector(".bd-article") ?? document.body);
  window.addEventListener("hashchange", follow);
  for (const sign of ["wheel", "touchstart", "keydown", "pointerdown"]) {
    window.addEventListener(sign, () => (until = 0), { passive: true });
  }
  follow();
}

// Roles that the theme and Sphinx leave out, or give as nobody may any more: the sidebar is part of no landmark, the
// parameters of a long signature are definitions without a term, and works of a bibliography are no items of its list.
function giveRoles() {
  const sidebar = document.getElementById("pst-primary-sidebar");
  sidebar?.setAttribute("aria-label", "Course");
  const roles = { "#pst-primary-sidebar": "region", "dt.sig dl": "none", ".citation": "listitem" };
  for (const [selector, role] of Object.entries(roles)) {
    for (const part of document.querySelectorAll(selector)) {
      part.setAttribute("role", role);
    }
  }
}

// On paper everything is open, and dark on white.
function prepareForPrint() {
  let closed = [];
  let theme;
  window.addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    closed.forEach((box) => (box.open = true));
    theme = document.documentElement.dataset.theme;
    document.documentElement.dataset.theme = "light";
  });
  window.addEventListener("afterprint", () => {
    closed.forEach((box) => (box.open = false));
    document.documentElement.dataset.theme = theme;
  });
}

document.addEventListener("DOMContentLoaded", () => {
  giveRoles();
  prepareForPrint();
  wakeWhenNear();
  stayAtPlace();
  nameGroups();
  reachScrollables();
  new MutationObserver(() => {
    nameGroups();
    reachScrollables();
  }).observe(document.querySelector("main") ?? document.body, { childList: true, subtree: true });
});
