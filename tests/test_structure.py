"""The architecture: who may import whom, what is public, and what is nowhere.

Each rule is a function from sources to a list of problems. It is run on the repository, where it must find
nothing, and on a planted breach, which it must find.
"""

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
from pathlib import Path

import notebooks
import pytest

import companion

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "companion"

# From the ground up. A module imports only from floors below its own; a package's own files may share.
FLOORS = (
    ("wording of errors", {"_validation"}),
    ("seeds, quadrature, saving", {"seeds", "quadrature", "_saving", "_about"}),
    ("networks", {"_networks"}),
    (
        "samples and exact answers",
        {
            "reparameterizations",
            "bijectors",
            "gaussian",
            "linear_regression",
            "potentials",
            "probabilistic_pca",
            "weight_noise",
        },
    ),
    ("gradients", {"gradients"}),
    ("objectives and judgement", {"bounds", "diagnostics"}),
    ("training", {"_training"}),
    ("models", {"vae", "bayesian_layers", "flows", "logistic_regression"}),
    ("data", {"datasets"}),
    ("laboratory", {"plotting", "exercises"}),
    ("self-check", {"_self_check"}),
    ("program", {"__main__"}),
)
FLOOR_OF = {module: floor for floor, (_, modules) in enumerate(FLOORS) for module in modules}
DRAWING = {"matplotlib", "altair"}
OLD_KERAS = {"tf_keras", "tfp.layers", "tensorflow_probability.layers", "TF_USE_LEGACY_KERAS"}
PEERS = {"bnn_tfp_layers.py"}  # a library's own program in a benchmark, which uses it
FOREIGN = re.compile(
    r"(?<![\w.])/(?:home|root|Users|opt|work)/[\w.]|file:/{3}|"
    r"pypi\.org/simple|files\.pythonhosted|registry\.(?:npmjs|yarnpkg)|--(?:extra-)?index-url|--find-link[s]"
)


def sources(folder):
    """A mapping of paths, relative to a folder, to the Python sources below it."""
    return {path.relative_to(folder).as_posix(): path.read_text() for path in sorted(folder.rglob("*.py"))}


def chapter_code():
    """A mapping of chapters to their code, without magics."""
    code = {}
    for name in notebooks.chapter_names():
        cells = notebooks.read_text((notebooks.CHAPTERS / f"{name}.md").read_text()).cells
        lines = "\n".join(cell.source for cell in cells if cell.cell_type == "code").splitlines()
        code[f"chapters/{name}.md"] = "\n".join(line for line in lines if not line.lstrip().startswith(("%", "!")))
    return code


def module_of(path):
    """The module or package of `companion` that a path below it belongs to."""
    return path.removesuffix(".py").split("/")[0]


def imported(source):
    """The full names of everything that a source imports, wherever the import stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            prefix = "." * node.level + (node.module or "")
            yield from (f"{prefix}.{alias.name}" for alias in node.names)


def floor_problems(files):
    """Imports that do not go down, modules that stand on no floor, and imports by relative path."""
    problems = []
    for path, source in files.items():
        here = module_of(path)
        if here == "__init__":
            continue
        if here not in FLOOR_OF:
            problems.append(f"{path} stands on no floor; give {here} a place in FLOORS")
            continue
        for name in imported(source):
            if name.startswith("."):
                problems.append(f"{path} imports {name} by a relative path")
            there = name.split(".")[1] if name.startswith("companion.") else None
            if there in FLOOR_OF and there != here and FLOOR_OF[there] >= FLOOR_OF[here]:
                problems.append(f"{path} imports {there}, which is not on a floor below {here}")
    return problems


def drawing_problems(files):
    """Imports of a drawing library outside of `companion.plotting`."""
    return [
        f"{path} imports {name}; only companion.plotting draws"
        for path, source in files.items()
        if module_of(path) != "plotting"
        for name in imported(source)
        if name.split(".")[0] in DRAWING
    ]


def old_keras_problems(files):
    """Uses of Keras 2 and of TFP's layers, which need it."""
    problems = []
    for path, source in files.items():
        named = {part for name in imported(source) for part in (name, name.split(".")[0])}
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Attribute):
                named.add(ast.unparse(node))
            elif isinstance(node, ast.Constant):
                named.add(node.value)
        problems += [f"{path} uses {name}" for name in sorted(OLD_KERAS & named)]
    return problems


def silencing_problems(files):
    """Calls that silence every warning there is."""
    return [
        f"{path}, line {node.lineno}: {ast.unparse(node)} hides every warning"
        for path, source in files.items()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).split(".")[-1] in {"filterwarnings", "simplefilter"}
        and [ast.unparse(argument) for argument in node.args] == ["'ignore'"]
        and not node.keywords
    ]


def untested_modules(modules, tests):
    """Modules without a `tests/test_<module>.py` (a leading underscore does not count)."""
    stems = {Path(name).stem for name in tests}
    return [
        f"{module} has no tests/test_{module.lstrip('_')}.py"
        for module in sorted(modules)
        if not any(stem == f"test_{module.lstrip('_')}" or stem.startswith(f"test_{module}_") for stem in stems)
    ]


def undocumented_names(module):
    """Public functions and classes of an imported module, and their public methods, without a docstring.

    A file inside a package may do without `__all__`: the package says what is public.
    """
    if not hasattr(module, "__all__"):
        return [] if module.__name__.count(".") > 1 else [f"{module.__name__} has no __all__"]
    problems = [] if inspect.getdoc(module) else [f"{module.__name__} has no docstring"]
    for name in module.__all__:
        member = getattr(module, name)
        if inspect.isclass(member):
            problems += [f"{name}.{method} has no docstring" for method in undocumented_methods(member)]
        if (inspect.isclass(member) or inspect.isroutine(member)) and not (member.__doc__ or "").strip():
            problems.append(f"{module.__name__}.{name} has no docstring")
    return problems


def undocumented_methods(cls):
    """Public methods and properties that a class itself defines, without a docstring."""
    return [
        name
        for name, member in vars(cls).items()
        if not name.startswith("_")
        and (inspect.isfunction(member) or isinstance(member, (property, classmethod, staticmethod)))
        and not inspect.getdoc(member)
    ]


def foreign_addresses(texts):
    """Paths of one machine and addresses of package registries."""
    return [
        f"{path}, line {number}: {found.group()}"
        for path, text in texts.items()
        for number, line in enumerate(text.splitlines(), start=1)
        for found in [FOREIGN.search(line)]
        if found
    ]


def repository_texts():
    """A mapping of the repository's own files to their text; images, fonts and vendored scripts are left out."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    texts = {}
    for name in names:
        path = ROOT / name
        if path.is_file() and path.suffix not in {".png", ".woff2", ".ico"} and not name.endswith(".min.js"):
            texts[name] = path.read_text()
    return texts


def public_modules():
    """Every importable module of the package without a leading underscore, by name."""
    found = [module.name for module in pkgutil.walk_packages(companion.__path__, "companion.")]
    return [name for name in ["companion", *found] if not any(part.startswith("_") for part in name.split("."))]


FILES = sources(PACKAGE)
OUTSIDE = {
    **chapter_code(),
    **{f"benchmarks/{path}": source for path, source in sources(ROOT / "benchmarks").items() if path not in PEERS},
    **{f"tests/{path}": source for path, source in sources(ROOT / "tests").items() if path != Path(__file__).name},
}

# The rule, where it holds, and a breach of it.
RULES = [
    (floor_problems, FILES, {"gaussian.py": "def f():\n    from companion import gradients\n"}),
    (floor_problems, FILES, {"datasets.py": "from companion.plotting import line"}),
    (floor_problems, FILES, {"gradients/pathwise.py": "from .. import plotting"}),
    (floor_problems, FILES, {"helpers.py": "x = 1"}),
    (drawing_problems, FILES | chapter_code(), {"gaussian.py": "import matplotlib.pyplot as plt"}),
    (drawing_problems, FILES | chapter_code(), {"exercises/trick.py": "from altair import Chart"}),
    (old_keras_problems, FILES | OUTSIDE, {"vae.py": "layer = tfp.layers.DenseFlipout(1)"}),
    (old_keras_problems, FILES | OUTSIDE, {"vae.py": "from tf_keras import layers"}),
    (old_keras_problems, FILES | OUTSIDE, {"vae.py": "os.environ['TF_USE_LEGACY_KERAS'] = '1'"}),
    (silencing_problems, FILES | OUTSIDE, {"seeds.py": "import warnings\nwarnings.filterwarnings('ignore')"}),
]


@pytest.mark.parametrize(("rule", "files", "breach"), RULES, ids=lambda value: getattr(value, "__name__", ""))
def test_rule_holds_and_a_breach_is_found(rule, files, breach):
    assert not rule(files)
    assert rule(breach)


def test_allowed_imports_are_allowed():
    within = "import numpy\nfrom companion import seeds\nfrom companion.gradients.estimate import GradientEstimate"
    top = "from companion import gradients"
    assert not floor_problems({"gradients/pathwise.py": within, "__init__.py": top})
    assert not silencing_problems({"a.py": "warnings.filterwarnings('ignore', category=DeprecationWarning)"})
    assert not drawing_problems({"plotting/figure.py": "import altair"})


def test_every_module_has_its_tests():
    modules = {module_of(path) for path in FILES} - {"__init__", "__main__"}
    tests = [path.name for path in (ROOT / "tests").glob("test_*.py")]
    assert not untested_modules(modules, tests)
    assert untested_modules(modules | {"forgotten"}, tests) == ["forgotten has no tests/test_forgotten.py"]


@pytest.mark.parametrize("name", public_modules())
def test_every_public_name_has_a_docstring(name):
    assert not undocumented_names(importlib.import_module(name))


def test_missing_docstring_is_found():
    planted = type(companion)("planted", "A module.")
    exec("__all__ = ['f', 'C']\ndef f(): pass\nclass C:\n    'Doc.'\n    def method(self): pass", vars(planted))
    assert undocumented_names(planted) == ["planted.f has no docstring", "C.method has no docstring"]
    del planted.__all__
    assert undocumented_names(planted) == ["planted has no __all__"]


def test_every_public_module_is_in_the_reference():
    page = (ROOT / "book" / "reference" / "api.md").read_text()
    modules = {".".join(name.split(".")[:2]) for name in public_modules()} - {"companion"}
    chapters = {f"companion.exercises.{name}" for name in notebooks.chapter_names()}
    assert not [name for name in sorted(modules | chapters) if f"automodule:: {name}\n" not in page]


def test_no_machine_paths_and_no_registries():
    texts = repository_texts()
    assert "pyproject.toml" in texts
    assert not foreign_addresses(texts)


@pytest.mark.parametrize(
    ("planted", "gap"), [("/{}/me/x.py", "home"), ("file{}//x", ":/"), ("https://pypi{}/simple", ".org")]
)
def test_foreign_address_is_found(planted, gap):
    assert foreign_addresses({"a.txt": f"one\n{planted.format(gap)}\n"})
