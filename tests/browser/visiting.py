"""One visit to a page, and everything that several tests want to know about it.

Loading a long chapter and running axe on it takes seconds, so a page is opened once and looked at in the light and
wide, then in the dark and narrow. What is found is kept as plain lists of problems; the tests say which must be empty.
"""

from dataclasses import dataclass, field

from axe_playwright_python.sync_playwright import Axe

WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# A formula is read from its MathML; the thousands of pieces of its drawing are hidden from assistive technology and
# have the colour of the text around them. Looking at each of them would take minutes. axe reads no MathML and takes
# the header of a column of formulas, when it is a formula itself, for empty.
UNREAD = [[".katex-html[aria-hidden] > *"], ["th:has(math)"]]

# Blocks far from the screen are not laid out (content-visibility), and what they hide would not be looked at.
LAY_OUT_ALL = ".bd-article * { content-visibility: visible !important } * { transition: none !important }"
READ = """async () => {    // a reader's way through the page: what waits until it comes near has come near
    for (let y = 0; y < document.documentElement.scrollHeight; y += 2 * innerHeight) {
        window.scrollTo({ top: y, behavior: "instant" });
        await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
    }
    window.scrollTo({ top: 0, behavior: "instant" });
}"""
DRAWN = """() => !document.querySelector("script.sleeping-figure") &&
    [...document.querySelectorAll("[id^=figure-]:has(+ script)")].every(box => box.querySelector("canvas, svg"))"""
OPEN = """() => {
    for (const box of document.querySelectorAll("details")) box.open = true;
    for (const button of document.querySelectorAll(".toggle-button.toggle-button-hidden")) button.click();
}"""
SETTLE = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"

# Formulas that are not drawn, and text in which a formula's source is left.
MATHS = r"""() => {
    const problems = [...document.querySelectorAll(".katex-error")].map(node => `error: ${node.textContent}`);
    for (const node of document.querySelectorAll(".math:not(.katex)")) {
        const drawn = node.querySelector(".katex-html");
        if (!drawn) problems.push(`not rendered: ${node.textContent}`);
        else if (node.checkVisibility() && !drawn.getBoundingClientRect().width)
            problems.push(`drawn without width: ${node.textContent}`);
    }
    const SOURCE = /\$\$|\$[^$\s][^$]*\$|\\\(|\\\[|\\(frac|sum|int|mathbb|theta|epsilon)\b/;
    const walker = document.createTreeWalker(document.querySelector("article") ?? document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const source = SOURCE.test(walker.currentNode.data);
        if (source && !walker.currentNode.parentElement.closest("code, pre, script, style, .katex-mathml"))
            problems.push(`source: ${walker.currentNode.data.trim()}`);
    }
    for (const font of document.fonts)
        if (font.status === "error") problems.push(`font not loaded: ${font.family}`);
    return problems;
}"""

# Elements that reach beyond the window, unless a box around them scrolls or the reader never sees them.
OVERFLOW = """() => {
    const { clientWidth: width, scrollWidth: needed } = document.documentElement;
    const problems = needed > width ? [`the page is ${needed} wide`] : [];
    const contained = node => {
        for (let box = node.parentElement; box && box !== document.body; box = box.parentElement)
            if (/auto|scroll|hidden|clip/.test(getComputedStyle(box).overflowX)) return true;
        return false;
    };
    for (const node of (document.querySelector("main") ?? document.body).querySelectorAll("*")) {
        const box = node.getBoundingClientRect();
        const seen = box.width && node.checkVisibility({ visibilityProperty: true });
        if (seen && !node.closest(".katex-mathml, svg") && box.right > width + 1 && !contained(node))
            problems.push(`${node.tagName}.${node.className} ends at ${Math.round(box.right)}`);
    }
    return problems;
}"""

# Images that did not arrive, and those that are drawn in another shape than they have; padding is not the image.
IMAGES = """() => [...document.images].filter(image => image.checkVisibility()).map(image => {
    const style = getComputedStyle(image);
    const inner = sides => sides.reduce((sum, side) => sum + parseFloat(style[`padding${side}`]), 0);
    const width = image.clientWidth - inner(["Left", "Right"]), height = image.clientHeight - inner(["Top", "Bottom"]);
    const stretch = (width / height) * (image.naturalHeight / image.naturalWidth);
    return [image.currentSrc.slice(-60), image.naturalWidth, stretch];
}).filter(([, arrived, stretch]) => !arrived || Math.abs(stretch - 1) > 0.03).map(String)"""


@dataclass
class Visit:
    """What was found on a page: lists of problems."""

    console: list = field(default_factory=list)
    failed: list = field(default_factory=list)
    outgoing: list = field(default_factory=list)
    maths: list = field(default_factory=list)
    overflow: list = field(default_factory=list)
    images: list = field(default_factory=list)
    light: list = field(default_factory=list)
    dark: list = field(default_factory=list)
    formulas: int = 0
    figures: int = 0


def listen(tab, address, visit):
    """Write down what goes wrong on a tab from now on."""
    inside = (address, "data:", "blob:", "about:")

    def hear(message):
        if message.type in ("error", "warning"):
            visit.console.append(message.text)

    def see(request):
        if not request.url.startswith(inside):
            visit.outgoing.append(request.url)

    def check(answer):
        if answer.status >= 400:
            visit.failed.append(f"{answer.url}: {answer.status}")

    tab.on("console", hear)
    tab.on("pageerror", lambda error: visit.console.append(str(error)))
    tab.on("request", see)
    tab.on("response", check)
    tab.on("requestfailed", lambda request: visit.failed.append(f"{request.url}: {request.failure}"))


def show_everything(tab):
    """Lay out every block, draw every interactive figure, open every box."""
    tab.add_style_tag(content=LAY_OUT_ALL)
    tab.evaluate(OPEN)
    tab.evaluate(READ)
    tab.wait_for_function(DRAWN, timeout=60_000)
    tab.evaluate("() => document.fonts.ready.then(() => true)")
    tab.evaluate(SETTLE)


def violations(tab):
    """What axe objects to: rule, and for each place its selector and the reason."""
    run_only = {"type": "tag", "values": RULES}
    options = {"runOnly": run_only, "resultTypes": ["violations"], "preload": False}  # preloading makes requests
    answer = Axe().run(tab, context={"exclude": UNREAD}, options=options)
    return [
        f"{rule['id']}: {node['target']}: {node['failureSummary']}: {node['html'][:200]}"
        for rule in answer.response["violations"]
        for node in rule["nodes"]
    ]


def look(browser, address, name):
    """Visit a page of the site at an address."""
    visit = Visit()
    with browser.new_context(viewport=WIDE, color_scheme="light", reduced_motion="reduce") as context:
        tab = context.new_page()
        listen(tab, address, visit)
        tab.goto(address + name, wait_until="load")
        show_everything(tab)
        visit.formulas, visit.figures = (tab.locator(found).count() for found in (".katex-html", ".vega-embed"))
        visit.maths = tab.evaluate(MATHS)
        visit.images = tab.evaluate(IMAGES)
        visit.light = violations(tab)
        tab.emulate_media(color_scheme="dark")
        tab.set_viewport_size(NARROW)
        tab.evaluate(SETTLE)
        visit.overflow = tab.evaluate(OVERFLOW)
        visit.images += tab.evaluate(IMAGES)
        visit.dark = violations(tab)
    return visit
