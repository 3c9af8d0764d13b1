"""What somebody's file defines, read from its text without running it: functions, classes, what they return."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..foreign import ForeignError

MAX_BYTES = 4 * 1024 * 1024  # of a file that is handed in; a notebook has its pictures in it
_MAGIC = re.compile(r"\s*[%!?]")
_Function = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Source:
    """A piece of code: a file, or a cell of a notebook."""

    name: str  # as errors call it
    text: str


@dataclass(frozen=True)
class Function:
    """A function or a method of theirs."""

    name: str  # "lstm_backward", "Net.backward"
    arguments: tuple[str, ...]  # without self
    optional: frozenset[str]  # those with a default
    returns: tuple[str, ...]  # the names in its return statement; "" for what has none; () if it returns nothing
    keys: tuple[str, ...]  # if that is a dictionary that is written out: its keys
    looked_up: tuple[tuple[str, str], ...]  # the constant keys that it looks up, with where: ("params", "Wf")
    reads: frozenset[str]  # names that it reads and does not set itself
    line: int
    variadic: bool = False  # takes *arguments
    unpacked: tuple[tuple[str, tuple[str, ...]], ...] = ()  # arguments that it takes apart, into which names

    @property
    def subscripts(self) -> tuple[str, ...]:
        """The constant keys that it looks up anywhere."""
        return tuple(dict.fromkeys(key for _, key in self.looked_up))

    def keys_of(self, holder: str) -> frozenset[str]:
        """Those that it looks up in one argument."""
        return frozenset(key for name, key in self.looked_up if name == holder)


@dataclass(frozen=True)
class Class:
    """A class of theirs."""

    name: str
    methods: tuple[str, ...]
    attributes: tuple[str, ...]  # what is set as self.NAME, in order
    make: Function | None  # __init__


@dataclass(frozen=True)
class Survey:
    """A file of theirs."""

    path: str
    sources: tuple[Source, ...]
    functions: dict[str, Function] = field(default_factory=dict)
    classes: dict[str, Class] = field(default_factory=dict)
    globals: tuple[str, ...] = ()  # what is set at the top
    unread: tuple[str, ...] = ()  # cells that are not Python, with the reason


def survey(path: str | Path) -> Survey:
    """Look at a `.py` or a `.ipynb` file. A `ForeignError` says why it cannot be read."""
    file = Path(path)
    if file.suffix not in (".py", ".ipynb"):
        raise ForeignError(f"'{path}' is neither a .py file nor a notebook (.ipynb)")
    try:
        with open(file, "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
        text = data.decode("utf-8-sig")
    except OSError as problem:
        raise ForeignError(f"{path} cannot be read: {problem.strerror or problem}") from None
    except UnicodeDecodeError:
        raise ForeignError(f"{path} is not UTF-8") from None
    if len(data) > MAX_BYTES:
        raise ForeignError(f"{path} is larger than {MAX_BYTES >> 20} MiB")
    sources = tuple(_cells(text, file.name) if file.suffix == ".ipynb" else [Source(str(path), text)])
    return _looked_at(str(path), sources, notebook=file.suffix == ".ipynb")


def _cells(text: str, name: str) -> Iterator[Source]:
    """The cells of code of a notebook. A line of IPython's own (%, !) becomes an empty one, so that numbers stay."""
    try:
        cells = json.loads(text)["cells"]
        for number, cell in enumerate(cells, start=1):
            code = cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])
            if cell["cell_type"] != "code" or code.lstrip().startswith("%%") and not code.lstrip().startswith("%%time"):
                continue
            lines = ["" if _MAGIC.match(line) else line for line in code.splitlines()]
            yield Source(f"{name}, cell {number}", "\n".join(lines) + "\n")
    except (ValueError, LookupError, TypeError, AttributeError):
        raise ForeignError(f"{name} is not a notebook of version 4: open it in Jupyter and save it again") from None


def _looked_at(path: str, sources: tuple[Source, ...], notebook: bool) -> Survey:
    functions: dict[str, Function] = {}
    classes: dict[str, Class] = {}
    names: list[str] = []
    kept, unread = [], []
    for source in sources:
        try:
            tree = ast.parse(source.text, source.name)
        except (SyntaxError, ValueError, RecursionError) as problem:
            line = getattr(problem, "lineno", None)
            told = f"{source.name}{f', line {line}' if line else ''}: {getattr(problem, 'msg', problem)}"
            if not notebook:
                raise ForeignError(f"{told}; it is no Python that can be read") from None
            unread.append(told)
            continue
        kept.append(source)
        for node in tree.body:
            match node:
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    functions[node.name] = _function(node, node.name, method=False)
                case ast.ClassDef():
                    classes[node.name], methods = _class(node)
                    functions |= methods
                case _:
                    names += _stored(node)
    return Survey(path, tuple(kept), functions, classes, tuple(dict.fromkeys(names)), tuple(unread))


def _class(node: ast.ClassDef) -> tuple[Class, dict[str, Function]]:
    methods: dict[str, Function] = {}
    attributes: list[str] = []
    for each in node.body:
        if isinstance(each, _Function):
            methods[f"{node.name}.{each.name}"] = _function(each, f"{node.name}.{each.name}", method=True)
            attributes += [
                part.attr for part in ast.walk(each) if isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store)
                and isinstance(part.value, ast.Name) and part.value.id == "self"
            ]
    names = tuple(name.partition(".")[2] for name in methods)
    return Class(node.name, names, tuple(dict.fromkeys(attributes)), methods.get(f"{node.name}.__init__")), methods


def _function(node: ast.FunctionDef | ast.AsyncFunctionDef, name: str, method: bool) -> Function:
    own = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
    decorators = {each.id for each in node.decorator_list if isinstance(each, ast.Name)}
    static = "staticmethod" in decorators
    with_default = own[len(own) - len(node.args.defaults):] if node.args.defaults else []
    bare = own[1:] if method and not static else own
    returns, keys = _returned(node)
    stored = set(_stored(node))
    loaded = {each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load)}
    looked_up = [(_name_of(each.value), each.slice.value) for each in ast.walk(node) if isinstance(each, ast.Subscript)
                  and isinstance(each.slice, ast.Constant) and isinstance(each.slice.value, str)]
    keyword_only = [argument.arg for argument in node.args.kwonlyargs]
    return Function(
        name, tuple(bare), frozenset((*with_default, *keyword_only)), returns, keys, tuple(dict.fromkeys(looked_up)),
        frozenset(loaded - stored - set(own) - set(keyword_only)), node.lineno, node.args.vararg is not None,
        tuple(_unpacked(node, own)),
    )


def _unpacked(node: ast.AST, arguments: list[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """`Wx, Wh, b = params`: which arguments are taken apart so, and into which names."""
    for each in ast.walk(node):
        match each:
            case ast.Assign(targets=[ast.Tuple(elts=parts) | ast.List(elts=parts)], value=ast.Name(id=held)):
                names = tuple(part.id for part in parts if isinstance(part, ast.Name))
                if held in arguments and len(names) == len(parts):
                    yield held, names


def _stored(node: ast.AST) -> list[str]:
    """The names that are set in it."""
    return [each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)]


def _returned(node: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of the last return statement of the function itself, and the keys if it returns a dictionary."""
    found = [each for each in _own_statements(node) if isinstance(each, ast.Return) and each.value is not None]
    if not found:
        return (), ()
    value = found[-1].value
    parts = value.elts if isinstance(value, (ast.Tuple, ast.List)) else [value]
    keys: tuple[str, ...] = ()
    if isinstance(value, ast.Dict):
        keys = tuple(str(key.value) for key in value.keys if isinstance(key, ast.Constant))
    return tuple(_name_of(part) for part in parts), keys


def _name_of(node: ast.AST | None) -> str:
    """`h` of h, self.h, cache["h"] and h.copy(); "" of anything else."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name, value=ast.Name()):
            return name
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            return name
        case ast.Call(func=ast.Attribute(attr="copy" | "astype", value=inner)):
            return _name_of(inner)
        case ast.Call(func=ast.Attribute(attr="array" | "asarray" | "stack" | "copy"), args=[inner, *_]):
            return _name_of(inner)
    return ""


def _own_statements(node: ast.AST) -> Iterator[ast.AST]:
    """What stands in a function, without the functions inside of it, in order."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (*_Function, ast.Lambda, ast.ClassDef)):
            yield child
            yield from _own_statements(child)
