"""The code between the markers of a solution: cut out and replaced by a stub, and put back.

A stub keeps what the check below it needs by name: the signature of each function, with its docstring, and the name
of each value. Run as it is, it stops with a sentence that names the exercise.
"""

import ast
import copy
import symtable

__all__ = ["BEGIN", "END", "has_solution", "put_solutions_back", "stub"]

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def has_solution(source):
    """Whether a cell's source holds a solution."""
    return BEGIN in source or END in source


def stub(source, exercise, later=()):
    """The source of a cell with its solution cut out.

    Args:
        source: the source of the cell.
        exercise: what the page calls the exercise, such as "Exercise 2.1".
        later: the sources of the code cells that follow.

    Raises:
        ValueError: if the markers are not one pair of lines, or what is between them is no Python.
    """
    before, solution, after = _parts(source)
    statements = ast.parse("\n".join(solution)).body
    wanted = _wanted(statements, "\n".join(after), later)
    todo = f"{exercise}: your code goes here"
    lines = [f"# {exercise}: your answer"]
    for statement in statements:
        if isinstance(statement, (*FUNCTIONS, ast.ClassDef)) and statement.name in wanted:
            code = ast.unparse(_emptied(statement, todo)).replace(repr(todo), f'"{todo}"')
            lines += [*code.split("\n"), "", ""]
        elif isinstance(statement, ast.Import | ast.ImportFrom) and wanted & _bound([statement]):
            lines.append(ast.unparse(statement))
    values = sorted(_values(statements) & wanted, key=_places(statements).__getitem__)
    lines += [f"{name} = ...  # your answer" for name in values]
    if values:
        given = " and ".join(f"{name} is not ..." for name in values)
        lines += [f'assert {given}, "{exercise}: your answer goes above"']
    return "\n".join([*before, *lines, *after])


def put_solutions_back(copy_notebook, chapter_notebook):
    """The copy with the solutions of its chapter in place of the stubs: what a reader's notebook is in the end.

    Args:
        copy_notebook: what `convert` made.
        chapter_notebook: what it was made from.
    """
    whole = {cell.id: cell.source for cell in chapter_notebook.cells if has_solution(cell.source)}
    notebook = copy.deepcopy(copy_notebook)
    if missing := set(whole) - {cell.id for cell in notebook.cells}:
        raise ValueError(f"expected a copy of this chapter, got one without the cells {', '.join(sorted(missing))}")
    for cell in notebook.cells:
        cell.source = whole.get(cell.id, cell.source)
    return notebook


def _parts(source):
    """The lines before, between and after the markers."""
    lines = source.split("\n")
    marks = [text.strip() for text in lines]
    if marks.count(BEGIN) != 1 or marks.count(END) != 1 or marks.index(END) < marks.index(BEGIN):
        raise ValueError(f"expected one line {BEGIN} and, below it, one line {END}")
    begin, end = marks.index(BEGIN), marks.index(END)
    return lines[:begin], lines[begin + 1 : end], lines[end + 1 :]


def _wanted(statements, after, later):
    """The names of a solution that are used outside of it; if none is, all that it defines but imports."""
    bound = _bound(statements)
    used = _used(after) | set().union(*map(_used_freely, later))
    imported = _bound([node for node in statements if isinstance(node, ast.Import | ast.ImportFrom)])
    return bound & used or bound - imported


def _used(source):
    """The names that some code reads from the cell's own scope: not the variables of its functions and loops inside."""
    return _read(symtable.symtable(ast.unparse(_parsed(source)), "cell", "exec"))


def _read(scope):
    """The names that a scope, and those inside it, take from the outermost one."""
    outermost = scope.get_type() == "module"
    names = {s.get_name() for s in scope.get_symbols() if s.is_referenced() and (outermost or s.is_global())}
    return names.union(*map(_read, scope.get_children()))


def _used_freely(source):
    """The names that a cell reads and does not give a value to."""
    return _used(source) - _bound(_parsed(source).body)


def _parsed(source):
    """Code without the lines that only IPython understands."""
    return ast.parse("\n".join("" if text.lstrip().startswith(("%", "!")) else text for text in source.split("\n")))


def _bound(statements):
    """The names that some statements give a value to, in the scope where they stand."""
    return set(_places(statements))


def _values(statements):
    """The names that get a value otherwise than by a definition or an import."""
    kinds = (*FUNCTIONS, ast.ClassDef, ast.Import, ast.ImportFrom)
    return _bound([node for node in statements if not isinstance(node, kinds)])


def _places(statements):
    """Where each name first gets a value: a mapping to (line, column)."""
    places = {}
    for node in _in_scope(statements):
        at = getattr(node, "lineno", 0), getattr(node, "col_offset", 0)
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            names = [node.name]
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.asname or alias.name.partition(".")[0] for alias in node.names]
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names = [node.id]
        else:
            names = []
        for name in names:
            places.setdefault(name, at)
    return places


def _in_scope(statements):
    """The nodes of some statements, without the insides of functions, classes, lambdas and comprehensions."""
    inner = (*FUNCTIONS, ast.ClassDef, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    waiting = list(statements)
    while waiting:
        node = waiting.pop(0)
        yield node
        if not isinstance(node, inner):
            waiting += ast.iter_child_nodes(node)


def _emptied(definition, todo):
    """A function that only says what is to be done, or a class with such methods."""
    definition = copy.deepcopy(definition)
    kept = definition.body[:1] if ast.get_docstring(definition) is not None else []
    if isinstance(definition, ast.ClassDef):
        methods = [_emptied(node, todo) for node in definition.body if isinstance(node, FUNCTIONS)]
        definition.body = kept + methods or [ast.Pass()]
    else:
        definition.body = [*kept, *ast.parse(f"raise NotImplementedError({todo!r})").body]
    return definition
