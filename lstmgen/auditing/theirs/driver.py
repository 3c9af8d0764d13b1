"""Runs somebody's functions, in a process of its own and under their interpreter: `python driver.py JOBS.json`.

This file imports nothing of lstmgen and needs only Python (3.7 or newer) and NumPy. It gets its jobs as JSON and arrays as
.npz, and gives back the same. Each job is one call of their forward and backward function, or one for each step.
"""

import ast
import contextlib
import io
import json
import os
import signal
import sys
import time
import traceback
import types
from typing import Any
from collections.abc import Iterator

if __name__ == "__main__":
    sys.path.pop(0)  # the folder of this file: its neighbours are no modules of theirs

try:
    import numpy as np
except ImportError:
    sys.exit("NUMPY")

MOST_PRINTED = 20_000  # characters
MOST_NUMBERS = 4_000_000  # in the answer to a job
PARENTS = 3  # of its folder, in which the packages of theirs may lie that a file imports
DEEPEST = 3  # how far into containers and objects arrays are looked for

Keys = tuple[str, ...]


class Failure(Exception):
    """What goes wrong, as what is written into the answer."""

    def __init__(self, **told: Any):
        super().__init__(told)
        self.told = told


# ---------------------------------------------------------------- their file


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """At most so many seconds, where the system has an alarm. One limit may stand inside another."""

    def stop(*_: Any) -> None:
        raise TimeoutError(f"it took longer than {seconds:g} s")

    if not hasattr(signal, "setitimer") or not seconds:
        yield
        return
    before, started = signal.signal(signal.SIGALRM, stop), time.time()
    left = signal.setitimer(signal.ITIMER_REAL, seconds)[0]
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, max(left - (time.time() - started), 0.001) if left else 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def unlimited() -> Iterator[None]:
    """Time that does not count. An import that is broken off may crash the next one, and it is made once for all jobs."""
    left = signal.setitimer(signal.ITIMER_REAL, 0)[0] if hasattr(signal, "setitimer") else 0
    try:
        yield
    finally:
        if left:
            signal.setitimer(signal.ITIMER_REAL, left)


class Code:
    """Their file: its statements, run one after another.

    A statement at the top that fails is remembered and passed over: a script opens data and trains before or after it
    defines what is asked for. Loops at the top are not run.
    """

    def __init__(self, sources: list[dict[str, str]], seconds: float):
        self.seconds = seconds
        self.files = [source["name"] for source in sources]
        self.texts = {source["name"]: source["text"].splitlines() for source in sources}
        self.statements: list[tuple[ast.stmt, str]] = []
        for source in sources:
            self.statements += [(node, source["name"]) for node in ast.parse(source["text"], source["name"]).body]
        self.passed_over: dict[int, str] = {}

    def run(self, sizes: dict[str, int]) -> dict[str, Any]:
        """A module with what the file defines. `sizes` at the top have our values, and what is made of them there, too."""
        sys.modules["theirs"] = types.ModuleType("theirs")  # where dataclasses look for what they name
        module = vars(sys.modules["theirs"])
        module["__file__"] = self.files[0]
        module.update(sizes)
        for number, (node, file) in enumerate(self.statements):
            if number in self.passed_over:
                continue
            if isinstance(node, (ast.For, ast.While, ast.AsyncFor)):
                self.passed_over[number] = f"{file}, line {node.lineno}: a loop at the top is not run"
                continue
            defines = isinstance(node, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef))
            tree = ast.Module([node], [])
            try:
                with unlimited() if defines else limited(self.seconds):
                    exec(compile(tree, file, "exec", dont_inherit=True), module)  # their code is run because it was asked for
            except BaseException as problem:
                told = f"{type(problem).__name__}: {problem}"
                self.passed_over[number] = f"{file}, line {node.lineno} is passed over: {told}"
                if isinstance(problem, KeyboardInterrupt):
                    raise
            if not defines:
                module.update(sizes)
        return module

    def frames(self, problem: BaseException) -> list[tuple[str, int, str]]:
        """Where in their file it happened: (file, line, text), the innermost last."""
        found = []
        for frame in traceback.extract_tb(problem.__traceback__):
            if frame.filename in self.texts and frame.lineno:
                lines = self.texts[frame.filename]
                text = lines[frame.lineno - 1].strip() if frame.lineno <= len(lines) else ""
                found.append((frame.filename, frame.lineno, text))
        return found


# ---------------------------------------------------------------- one job


class Run:
    """One job: what is called, with what."""

    def __init__(self, code: Code, job: dict[str, Any], arrays: dict[str, Any]):
        self.code, self.job, self.arrays = code, job, arrays
        self.module = code.run(job["sizes"])
        self.given: dict[str, Any] = {}  # what forward gave, by name
        self.carried: dict[str, Any] = {}  # state or its gradient, in code for one step
        self.objects: dict[str, Any] = {}
        self.handed: list[tuple[str, Any, Any]] = []  # parameters: name, as it was, the array or where to find it
        self.stage = ""

    def look_up(self, path: list[str]) -> Any:
        if path[0] not in self.module:
            known = [name for name, value in self.module.items() if callable(value) and not name.startswith("_")]
            raise Failure(kind="name", name=path[0], known=known, passed_over=list(self.code.passed_over.values()))
        return self.module[path[0]]

    def slot(self, slot: dict[str, Any]) -> Any:
        """What an argument is."""
        kind = slot["kind"]
        if kind == "array":
            array = self.arrays[slot["key"]]
            array = array[self.step].copy() if slot.get("step") else array.copy()
            if slot.get("parameter"):
                self.handed.append((slot["parameter"], self.arrays[slot["key"]], lambda: array))
            return array
        if kind == "integers":
            found = self.arrays[slot["key"]]
            found = found[self.step] if slot.get("step") else found
            return [int(each) for each in found] if found.ndim == 1 else int(found) if found.ndim == 0 else found
        if kind == "dict":
            held = {name: self.arrays[key].copy() for name, key in slot["keys"].items()}
            self.handed += [(name, self.arrays[key], lambda name=name: held[name]) for name, key in slot["keys"].items()]
            return held
        if kind == "list":
            return [self.arrays[key].copy() for key in slot["keys"]]
        if kind == "given":
            return self.given_as(slot["name"])
        if kind == "carried":
            return self.carried[slot["name"]]
        if kind == "arrived":  # all that arrives at a state of one step
            outside = self.arrays[slot["key"]][self.step]
            return outside + self.carried[slot["name"]]
        return {"None": None, "True": True, "False": False}.get(slot["text"], slot["number"])

    def given_as(self, name: str) -> Any:
        if name in self.given:
            return self.given[name]
        raise Failure(kind="given", name=name, gave=sorted(self.given))

    def object_of(self, call: dict[str, Any], fresh: bool) -> Any:
        """The module, or an object of the class that the call names, with their parameters in it."""
        owner = call["path"][0]
        if len(call["path"]) == 1:
            return None
        if fresh or owner not in self.objects:
            made = self.look_up(call["path"])
            if isinstance(made, type):
                self.stage = owner + "()"
                self.expect(made, call["make"])
                made = made(*[self.slot(each) for each in call["make"]])
            for part in call["path"][1:-1]:
                made = getattr(made, part)
            self.place(made)
            self.objects[owner] = made
        return self.objects[owner]

    def expect(self, function: Any, slots: list[dict[str, Any]], keywords: Any = ()) -> None:
        import inspect

        try:
            inspect.signature(function).bind(*slots, **dict(keywords))
        except TypeError as problem:
            raise Failure(kind="call", stage=self.stage, message=str(problem)) from None
        except ValueError:
            pass  # a builtin without a signature

    def place(self, target: Any) -> None:
        """Put their parameters, as far as no call hands them over, where their code reads them."""
        for name, key in self.job["placed"].items():
            array = self.arrays[key].copy()
            self.handed.append((name, self.arrays[key], lambda name=name: get(target, self.module, name)))
            if not (target is not None and put(target, name, array, 2)):
                owner = self.module
                if name in self.job["top"]:  # also where the statement that sets it was passed over
                    owner[name] = array
                elif not put_global(owner, name, array):
                    raise Failure(kind="place", name=name, known=attributes(target))
        self.module.update(self.job["sizes"])
        for name, slot in self.job["globals"].items():
            self.module[name] = self.slot(slot)

    def call(self, call: dict[str, Any], fresh: bool = False) -> Any:
        self.stage = ".".join(call["path"])
        function = self.object_of(call, fresh)
        if function is None:
            self.place(None)
            function = self.look_up(call["path"])
        else:
            self.stage = ".".join(call["path"])
            if not hasattr(function, call["path"][-1]):
                raise Failure(kind="name", name=call["path"][-1], known=[each for each in dir(function) if each[0] != "_"],
                              passed_over=list(self.code.passed_over.values()))
            function = getattr(function, call["path"][-1])
        slots = [self.slot(each) for each in call["arguments"]]
        keywords = {name: self.slot(each) for name, each in call["keywords"].items()}
        self.expect(function, slots, keywords)
        return function(*slots, **keywords)

    def run(self) -> Iterator[tuple[str, int, Any]]:
        """(what it is, step, the answer): of forward, of backward, and what it left behind."""
        job = self.job
        if job["steps"] == "all":
            self.step = 0
            if job["forward"]:
                answer = self.call(job["forward"])
                self.take(answer)
                yield "forward", 0, answer
            before = {name: id(value) for name, value in self.module.items()}
            answer = self.call(job["backward"])
            yield "backward", 0, answer
            yield "changed", 0, self.changed()
            for owner in self.objects.values():
                yield "left", 0, Attributes(vars(owner))
            changed = {name: value for name, value in self.module.items() if before.get(name) != id(value)}
            theirs = {name: value for name, value in self.module.items() if type(value).__module__ == "theirs"}
            yield "left", 0, Attributes({**theirs, **changed})
            return
        yield from self.each()

    def changed(self) -> dict[str, Any]:
        """By how much their parameters have become smaller."""
        found: dict[str, Any] = {}
        for name, before, now in self.handed:
            after = now()
            if isinstance(after, np.ndarray) and after.shape == before.shape and np.any(after != before):
                found.setdefault(name, before - after)
        return found

    def each(self) -> Iterator[tuple[str, int, Any]]:
        """One call for each step: forward for t = 1 .. T, backward for t = T .. 1."""
        job, steps = self.job, self.job["count"]
        kept = []
        self.carried = {name: self.arrays[key] for name, key in job["start"].items()}
        for self.step in range(steps if job["forward"] else 0):
            answer = self.call(job["forward"], fresh=True)
            self.take(answer)
            for name, place in job["states"].items():
                self.carried[name] = pick(answer, place, "forward", name)
            kept.append((dict(self.given), dict(self.objects)))
            yield "forward", self.step, answer
        self.carried = {name: self.arrays[key] for name, key in job["final"].items()}
        for self.step in reversed(range(steps)):
            if kept:
                self.given, self.objects = kept[self.step]
            answer = self.call(job["backward"], fresh=not kept)
            sent = {name: pick(answer, place, "backward", name) for name, place in job["sent"].items()}
            self.carried.update(sent)
            yield "backward", self.step, answer
            for owner in self.objects.values():
                yield "left", self.step, Attributes(vars(owner))

    def take(self, answer: Any) -> None:
        """What forward gave, by the names that the layout gives it."""
        names = self.job["gives"]
        self.given = {}
        if len(names) == 1:
            self.given = {names[0]: answer}
        elif isinstance(answer, dict):
            self.given = {name: answer[name] for name in names if name in answer}
        elif names:
            if not isinstance(answer, (tuple, list)) or len(answer) != len(names):
                size = f" of {len(answer)}" if hasattr(answer, "__len__") else ""
                raise Failure(kind="gives", stage=self.stage, found=type(answer).__name__ + size, names=names)
            self.given = dict(zip(names, answer))
        if isinstance(answer, dict):
            self.given.update({key: value for key, value in answer.items() if isinstance(key, str) and key not in self.given})


class Attributes(dict):  # type: ignore[type-arg]  # this file also runs under Pythons that cannot say dict[str, Any]
    """The attributes of an object, to be told from a dictionary that they returned."""


def pick(answer: Any, place: list[str], stage: str, name: str) -> Any:
    """A part of an answer, by its keys."""
    for key in place:
        try:
            if isinstance(answer, (tuple, list)) or hasattr(answer, "_fields"):
                answer = answer[int(key)]
            elif isinstance(answer, dict):
                answer = answer[key]
            else:
                answer = getattr(answer, key)
        except (LookupError, AttributeError, ValueError):
            raise Failure(kind="pick", stage=stage, state=name, found=type(answer).__name__) from None
    return answer


def put(target: Any, name: str, array: Any, depth: int) -> bool:
    """Set an attribute of an object, or what a dictionary in one of its attributes holds. False if there is no such name."""
    first, dot, rest = name.partition(".")
    if dot:
        return hasattr(target, first) and put(getattr(target, first), rest, array, depth)
    if isinstance(target, dict):
        if name in target:
            target[name] = array
            return True
        return False
    if not hasattr(target, "__dict__"):
        return False
    if name in vars(target):
        setattr(target, name, array)
        return True
    inner = [value for key, value in vars(target).items() if not key.lower().startswith(("grad", "d_"))]
    inside = [value for value in inner if isinstance(value, dict) or type(value).__module__ == "theirs"]
    return depth > 0 and sum(put(value, name, array, depth - 1) for value in inside) > 0


def get(target: Any, module: dict[str, Any], name: str) -> Any:
    """What an object, or else the top of the file, holds under a name. None if it is in a place of another kind."""
    first, dot, rest = name.partition(".")
    found = vars(target).get(first) if hasattr(target, "__dict__") else None
    found = module.get(first) if found is None else found
    for part in rest.split(".") if dot else ():
        found = getattr(found, part, None)
    return found


def put_global(module: dict[str, Any], name: str, array: Any) -> bool:
    if name in module:
        module[name] = array
        return True
    holders = [value for key, value in module.items() if isinstance(value, dict) and key[0] != "_" and name in value
               and not key.lower().startswith(("grad", "d"))]
    for holder in holders:
        holder[name] = array
    if holders:
        return True
    first, dot, rest = name.partition(".")
    return bool(dot) and first in module and put(module[first], rest, array, 2)


def attributes(target: Any) -> list[str]:
    return sorted(name for name in getattr(target, "__dict__", {}) if not name.startswith("_"))


# ---------------------------------------------------------------- the answer as arrays


def leaves(value: Any, keys: Keys = (), depth: int = DEEPEST) -> Iterator[tuple[Keys, Any]]:
    """Every array of numbers in it, with the keys on the way to it. Lists of equal arrays are given as one array, too."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    array = numbers(value)
    if array is not None:
        yield keys, array
    if depth == 0 or isinstance(value, np.ndarray) and value.dtype != object:
        return
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(key, str):
                yield from leaves(inner, (*keys, key), depth - 1)
    elif isinstance(value, (list, tuple)):
        for position, inner in enumerate(value[:64]):
            for found in leaves(inner, (*keys, str(position)), depth - 1):
                yield found
    elif hasattr(value, "__dict__") and not isinstance(value, type) and not callable(value):
        for key, inner in vars(value).items():
            for found in leaves(inner, (*keys, key), depth - 1):
                yield found


def numbers(value: Any) -> Any:
    """The array that a value is; None of what is none."""
    if isinstance(value, dict):
        steps = sorted(key for key in value if isinstance(key, (int, np.integer)) and key >= 0)
        if not steps or len(steps) < len(value) - 1:
            return None
        value = [value[key] for key in steps]
    if isinstance(value, (list, tuple)):
        if not value:
            return None
        parts = [numbers(each) for each in value]
        if any(part is None or part.shape != parts[0].shape for part in parts):
            return None
        return np.array(parts)
    if isinstance(value, (bool, str, bytes)) or value is None:
        return None
    if isinstance(value, (int, float, np.number, np.ndarray)):
        array = np.asarray(value)
        if array.dtype == object:
            return numbers(list(array)) if array.ndim else None
        return array if array.dtype.kind in "fiu" else None
    if hasattr(value, "__array__") and not callable(value):
        return numbers(np.asarray(value))
    return None


def answered(run: Run, store: dict[str, Any], number: int) -> list[dict[str, Any]]:
    """The arrays of one job, kept in `store`, and where each was found."""
    manifest: list[dict[str, Any]] = []
    size = 0
    for kind, step, answer in run.run():
        for keys, array in leaves(answer):
            size += array.size
            if size > MOST_NUMBERS:
                break
            key = f"a{len(store)}"
            store[key] = np.array(array, float) if array.dtype.kind in "iu" or array.dtype.itemsize > 8 else np.array(array)
            manifest.append({"kind": kind, "step": step, "keys": list(keys), "array": key})
    return manifest


def main(path: str) -> None:
    with open(path, encoding="utf-8") as file:
        task = json.load(file)
    with np.load(task["arrays"], allow_pickle=False) as loaded:
        arrays = {name: loaded[name] for name in loaded.files}
    sys.path.insert(0, task["folder"])
    above = task["folder"]
    for _ in range(PARENTS):  # a file inside a package of theirs
        above = os.path.dirname(above)
        sys.path.append(above)
    os.environ["MPLBACKEND"] = "Agg"
    code = Code(task["sources"], task["seconds_each"])
    store: dict[str, Any] = {}
    results: list[dict[str, Any]] = []
    started = time.time()
    np.seterr(all="ignore")
    for number, job in enumerate(task["jobs"]):
        if results and time.time() - started > task["enough"]:
            break
        printed = io.StringIO()
        run = None
        try:
            with contextlib.redirect_stdout(printed), limited(task["seconds_each"] if task["limited"] else 0):
                run = Run(code, job, arrays)
                result: dict[str, Any] = {"found": answered(run, store, number)}
        except Failure as failure:
            result = {"failed": failure.told}
        except BaseException as problem:
            result = {"failed": {"kind": "raised", "stage": run.stage if run else "", "type": type(problem).__name__,
                                 "message": str(problem)[:1000], "frames": code.frames(problem),
                                 "passed_over": list(code.passed_over.values())}}
        result["printed"] = printed.getvalue()[:MOST_PRINTED]
        results.append(result)
    np.savez(task["found"], **store)
    with open(task["answer"], "w", encoding="utf-8") as file:
        json.dump({"results": results}, file)


if __name__ == "__main__":
    main(sys.argv[1])
