"""A layout file -> `Layout`: YAML with a place for every mistake. Nothing in it is ever run."""

from __future__ import annotations

import re
from pathlib import Path

from ...derivation.graph import Graph
from ...errors import Mistakes, Text
from ...language.names import did_you_mean
from ...spec import yamltext
from ...spec.fields import Fields
from ...spec.yamltext import Mapping, Node, Scalar, Sequence, describe
from .blocks import Block, read_block
from .records import BATCHES, STEPS, TIMES, VECTORS, Argument, Call, Layout, Ref
from .refs import is_literal, known_refs, read_ref

KEYS = ("spec", "forward", "gives", "backward", "vectors", "batch", "time", "steps", "parameters", "names", "gradients")
THEIRS = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*|\[\d{1,3}\])*\Z", re.ASCII)  # params.Wf, weights[0]
NOTHING = ("_", "none", "nothing")  # in a list: a part that is no gradient
_CALL = re.compile(r"\s*([A-Za-z_][\w.]*)\s*(\([^()]*\))?\s*(?:\.\s*([A-Za-z_]\w*)\s*(\([^()]*\))?)?\s*\Z", re.ASCII)
_EXAMPLE = "'backward: lstm_backward(params, caches, dhs)', or 'Net.backward(dhs)'"
_ONE_OF = {"vectors": VECTORS, "batch": BATCHES, "time": TIMES, "steps": STEPS}


def spec_of(path: str | Path) -> str | None:
    """What a layout file says under `spec:`; None where it says nothing."""
    text = yamltext.read_file(Path(path))
    root = yamltext.parse(text, str(path))
    node = root.get("spec") if isinstance(root, Mapping) else None
    return node.value if isinstance(node, Scalar) else None


def load(path: str | Path, graph: Graph) -> Layout:
    """Read a layout file for a cell. Raises a `SpecError` with every mistake and its place."""
    return read(yamltext.read_file(Path(path)), graph, str(path))


def read(text: str, graph: Graph, path: str = "<layout>") -> Layout:
    """Read a text."""
    return _Reader(text, path, graph).read()


class _Reader:
    def __init__(self, text: str, path: str, graph: Graph):
        self.text, self.path, self.graph = text, path, graph
        self.mistakes = Mistakes(path, text)
        self.fields = Fields(self.mistakes)

    def read(self) -> Layout:
        root = yamltext.parse(self.text, self.path)
        file = self.fields.mapping(root, "a layout", "'vectors: columns'")
        if file is None:
            raise self.mistakes.error()
        for other, told in (("claims", "a file of claims"), ("equations", "a spec"), ("cell", "a spec")):
            if other in file:
                cure = f"a layout takes {', '.join(KEYS)}"
                raise self.mistakes.fatal(file.key(other).place, f"this is {told}, not a layout", cure)
        self.fields.known_keys(file, KEYS, "a layout")
        spec = file.get("spec")
        chosen = {key: self.fields.choice(file[key], key, _ONE_OF[key]) if key in file else None for key in _ONE_OF}
        gradients = file.get("gradients")
        layout = Layout(
            spec=spec.value if isinstance(spec, Scalar) else None,
            forward=self._call(file.get("forward"), "forward"),
            gives=self._names_of(file["gives"], "gives") if "gives" in file else None,
            backward=self._call(file.get("backward"), "backward"),
            parameters=self._parameters(file["parameters"]) if "parameters" in file else None,
            names=self._meanings(file["names"]) if "names" in file else (),
            gradients=self._gradients(gradients) if isinstance(gradients, Mapping) else None,
            answer=self._names_of(gradients, "gradients") if gradients and not isinstance(gradients, Mapping) else None,
            **chosen,
        )
        self.mistakes.stop()
        return layout

    # ------------------------------------------------------------------ calls

    def _call(self, node: Node | None, what: str) -> Call | None:
        if node is None or isinstance(node, Scalar) and node.kind == "null":
            return None
        if not isinstance(node, Scalar) or node.kind != "text":
            self.fields.unexpected(node, what, "a call", f"for example {_EXAMPLE}")
            return None
        text = node.text()
        match = _CALL.match(text.value)
        if not match:
            self.mistakes.add(node.place, f"'{text.value[:60]}' is not a call", f"for example {_EXAMPLE}")
            return None
        first, arguments, method, of_method = match.groups()
        path = tuple(first.split("."))
        if method is None:
            return Call(path, self._arguments(arguments, text, match.start(2)))
        return Call((*path, method), self._arguments(of_method, text, match.start(4)),
                    self._arguments(arguments, text, match.start(2)))

    def _arguments(self, written: str | None, text: Text, at: int) -> tuple[Argument, ...] | None:
        """`(params, lr=0.1)`; None where no brackets are written."""
        if written is None:
            return None
        found, at = [], at + 1
        for piece in written[1:-1].split(","):
            keyword, equals, value = (part.strip() for part in (piece if "=" in piece else f"={piece}").partition("="))
            if not piece.strip():
                if "," in written:
                    self.mistakes.add(text.at(at), "an argument is missing here")
            elif not (THEIRS.match(value) or is_literal(value)) or keyword and not keyword.isidentifier():
                self.mistakes.add(text.at(at + len(piece) - len(piece.lstrip())), f"'{piece.strip()[:40]}' is no argument",
                                  "an argument is a name, a number, or keyword=name")
            else:
                found.append(Argument(value, keyword))
            at += len(piece) + 1
        return tuple(found)

    # ------------------------------------------------------------------ lists and mappings

    def _names_of(self, node: Node, what: str) -> tuple[str, ...]:
        items = node.items if isinstance(node, Sequence) else (node,)
        found = []
        for item in items:
            if isinstance(item, Scalar) and (item.value in NOTHING or item.kind == "null"):
                found.append("")
            elif isinstance(item, Scalar) and item.text().value:
                found.append(item.text().value)
            else:
                self.mistakes.add(item.place, f"{what} is a list of names, and this is {describe(item)}",
                                  "for example [hs, caches], with _ for what does not matter")
        return tuple(found)

    def _pairs(self, node: Node, what: str, example: str) -> list[tuple[Scalar, Scalar]]:
        mapping = self.fields.mapping(node, what, example)
        found = []
        for key, value in mapping.items if mapping else ():
            if isinstance(value, Sequence) and what == "parameters":  # Wf: [R_f, W_f], without the quotes
                cure = f"put it into quotes: {key.value}: \"[R_f, W_f]\""
                self.mistakes.add(value.place, f"'{key.value}' is a list of YAML here", cure)
            elif not isinstance(value, Scalar) or value.kind not in ("text", "number"):
                self.fields.unexpected(value, f"the meaning of '{key.value}'", "a text", f"for example {example}")
            elif not THEIRS.match(key.value):
                self.mistakes.add(key.place, f"'{key.value}' cannot be a name in Python")
            else:
                found.append((key, value))
        return found

    def _parameters(self, node: Node) -> tuple[tuple[str, Block], ...]:
        found = []
        for key, value in self._pairs(node, "parameters", "{Wf: \"[R_f, W_f]\", bf: b_f}"):
            block = read_block(value.text(), self.graph.parameters, self.mistakes)
            if block is not None:
                found.append((key.value, block))
        return tuple(found)

    def _meanings(self, node: Node) -> tuple[tuple[str, Ref], ...]:
        found = []
        for key, value in self._pairs(node, "names", "{h_prev: \"h[t-1]\", c_bar: z}"):
            ref = read_ref(value.value, self.graph)
            if ref is None:
                known = known_refs(self.graph)
                cure = did_you_mean(value.value, known) or f"there are {', '.join(known[:12])}"
                self.mistakes.add(value.place, f"'{value.value}' is nothing of this cell", cure)
            else:
                found.append((key.value, ref))
        return tuple(found)

    def _gradients(self, node: Mapping) -> tuple[tuple[str, str], ...]:
        return tuple((key.value, value.text().value) for key, value in self._pairs(node, "gradients", "{dWf: Wf, dx: x}"))
