"""The boxes of sphinx-proof and sphinx-exercise: one more kind, and two repairs.

`{prf:claim}` is a numbered statement about a computation, beside sphinx-proof's theorems and propositions.

`{prf:proof}` with `:class: dropdown` has no title for sphinx-togglebutton to hold on to. It becomes a native
`<details>` whose summary is the word "Proof": it opens by mouse, by keyboard and without a script.

Every box brings the same identifiers ("proof-content", "exercise-content", ...), and an identifier may stand only
once on a page. They are removed; the labels stay.
"""

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx_proof.directive import DEFAULT_REALTYP_TO_COUNTERTYP, ElementDirective
from sphinx_proof.nodes import NODE_TYPES, depart_enumerable_node, proof_node, visit_enumerable_node

REPEATED = {"proof", "proof-content", "exercise-content", "solution-content"}


class claim_node(nodes.Admonition, nodes.Element):
    """A numbered claim."""


class ClaimDirective(ElementDirective):
    """`{prf:claim}`."""

    name = "claim"


def number_claims(app, config):
    """Give claims their own numbers, as sphinx-proof does for its kinds."""
    config.numfig_format = {"claim": "claim %s", **config.numfig_format}


class CollapsedProofs(SphinxPostTransform):
    """Wrap each collapsed proof in `<details>`."""

    default_priority = 400
    formats = ("html",)

    def run(self, **options):
        for proof in list(self.document.findall(proof_node)):
            body = proof.children[0]
            if "dropdown" not in body["classes"]:
                continue
            drop_leading_word(body)
            content = nodes.container("", *body.children, classes=["proof-body"])
            opening = '<details class="proof-details"><summary>Proof</summary>'
            closing = nodes.raw("", "</details>", format="html")
            proof.replace_self([nodes.raw("", opening, format="html"), content, closing])


def drop_leading_word(body):
    """Remove the "Proof. " that sphinx-proof writes before the first word; the summary says it."""
    text = next(body.findall(nodes.Text), None)
    if text is not None and text.startswith("Proof. "):
        text.parent.replace(text, nodes.Text(text[len("Proof. ") :]))


class UniqueIdentifiers(SphinxPostTransform):
    """Remove the identifiers that the boxes repeat; a box that had one keeps it as a class."""

    default_priority = 410
    formats = ("html",)

    def run(self, **options):
        for node in self.document.findall(nodes.Element):
            for identifier in REPEATED.intersection(node.get("ids", ())):
                node["ids"].remove(identifier)
                node["classes"].append(f"box-{identifier}")


def setup(app):
    """Register the kind of box and the transforms."""
    DEFAULT_REALTYP_TO_COUNTERTYP["claim"] = "claim"
    NODE_TYPES["claim"] = claim_node
    app.add_directive_to_domain("prf", "claim", ClaimDirective)
    app.add_enumerable_node(claim_node, "claim", None, html=(visit_enumerable_node, depart_enumerable_node))
    app.connect("config-inited", number_claims)
    app.add_post_transform(CollapsedProofs)
    app.add_post_transform(UniqueIdentifiers)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
