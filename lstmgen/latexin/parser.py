"""Tokens -> tree. What it does not know it refuses, with the place."""

from __future__ import annotations

from collections.abc import Sequence

from .faults import NotRead
from .tokens import COMMAND, DIGITS, LETTER, Token
from .tree import Accent, Digits, Fenced, Fraction, Grid, Group, Letter, Mark, Node, Root, Row, Scripted, Words

DEEPEST = 40  # brackets, braces, fractions and scripts in each other

GREEK = frozenset(
    """
    alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi omega
    Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega ell omicron
    """.split()
)
_VARIANTS = {"varepsilon": "epsilon", "vartheta": "theta", "varphi": "phi", "varrho": "rho",
             "varsigma": "sigma", "varpi": "pi"}
_FUNCTIONS = frozenset("tanh sech sin cos exp log ln max min softmax sigmoid sgn".split())
_WORD_FONTS = frozenset(
    """
    mathrm operatorname mathsf mathit mathtt textrm textit textsf texttt textnormal text mbox mathop textsc mathnormal
    """.split()
)
_BOLD_FONTS = frozenset("mathbf boldsymbol bm pmb textbf vec vb mathbfit bold vect symbf overrightarrow".split())
_LETTER_FONTS = frozenset("mathcal mathscr mathbb mathfrak mathds symbb symcal cal EuScript".split())
_SWITCHES = {"bf": True, "bfseries": True, "boldmath": True, "rm": False, "it": False, "sf": False, "tt": False, "cal": False,
             "mathstrut": False, "tiny": False, "scriptsize": False, "small": False, "normalsize": False, "large": False}
_ACCENTS = {"bar": "bar", "overline": "bar", "hat": "hat", "widehat": "hat", "tilde": "tilde", "widetilde": "tilde",
            "dot": "dot", "check": "check", "breve": "breve", "mathring": "ring", "acute": "acute", "grave": "grave"}
_FRACTIONS = frozenset("frac dfrac tfrac cfrac sfrac nicefrac".split())
_DERIVATIVES = {"pdv": "partial", "pderiv": "partial", "pd": "partial", "dv": "d", "deriv": "d",
                "partialderivative": "partial"}
_DROPPED = frozenset(
    """
    displaystyle textstyle scriptstyle limits nolimits nonumber notag hfill hline left right big Big bigg Bigg bigl bigr Bigl
    Bigr biggl biggr Biggl Biggr bigm Bigm biggm middle allowbreak noindent centering protect relax strut hfil null
    ensuremath mathopen mathclose mathinner mathpunct mathord
    """.split()
)
_DROPPED_WITH = frozenset("label tag ref eqref hspace vspace phantom hphantom vphantom color footnote cite intertext".split())
_KEPT = frozenset("mathrel mathbin boxed fbox mathclap smash underline cancel bcancel uline operatornamewithlimits".split())
_SPACES = {",": "", ":": "", ";": "", "!": "", ">": "", "enspace": "", "thinspace": "", "medspace": "", "thickspace": "",
           " ": "space", "\n": "space", "quad": "quad", "qquad": "quad", "enskip": "space", "-": "", "/": ""}
_MARKS = {
    "odot": "odot", "circ": "odot", "bullet": "odot", "cdot": "cdot", "cdotp": "cdot", "times": "times", "otimes": "otimes",
    "ast": "*", "star": "star", "partial": "partial", "nabla": "nabla", "sum": "sum", "prod": "prod", "int": "int",
    "top": "top", "intercal": "top", "mathsf T": "top", "transpose": "top", "transp": "top", "trans": "top", "tran": "top",
    "dagger": "top", "prime": "prime", "leq": "<=", "le": "<=", "geq": ">=", "ge": ">=", "lt": "<", "gt": ">", "ne": "!=",
    "neq": "!=", "approx": "approx", "propto": "propto", "in": "in", "equiv": "=", "coloneqq": "=", "triangleq": "=",
    "doteq": "=", "coloneq": "=", "colon": ":", "leftarrow": "<-", "gets": "<-", "to": "->", "rightarrow": "->",
    "Rightarrow": "=>", "implies": "=>", "Longrightarrow": "=>", "therefore": "=>", "mid": "|", "vert": "|", "Vert": "||",
    "ldots": "dots", "dots": "dots", "cdots": "dots", "vdots": "dots", "ddots": "dots", "dotsc": "dots", "dotsb": "dots",
    "forall": "forall", "infty": "infty", "pm": "pm", "oplus": "oplus", "div": "/", "lVert": "||", "rVert": "||", "mp": "pm",
    "boxdot": "odot", "ominus": "ominus", "wedge": "wedge", "vee": "vee", "sim": "sim", "cup": "cup", "And": ",",
    "owedge": "wedge", "smallfrown": "concat", "Vert ": "||", "smallsetminus": "setminus", "setminus": "setminus",
}
_OPENING = {"(": "(", "[": "[", "lbrack": "[", "{": "{", "lbrace": "{", "langle": "<", "lfloor": "floor", "lvert": "|"}
_CLOSING = {")": "(", "]": "[", "rbrack": "[", "}": "{", "rbrace": "{", "rangle": "<", "rfloor": "floor", "rvert": "|"}
GRIDS = frozenset(
    "matrix pmatrix bmatrix Bmatrix vmatrix smallmatrix psmallmatrix bsmallmatrix array cases dcases rcases".split())
ALIGNED = frozenset("aligned split gathered alignedat multlined align gather equation".split())


class Parser:
    """Reads one row of tokens."""

    def __init__(self, tokens: Sequence[Token], start: int):
        self.tokens, self.at, self.start = tokens, 0, start
        self.depth = 0
        self.bold = False
        self.upright = False  # within {\rm ...}

    def row(self) -> Row:
        """All of it."""
        found = self._items("")
        if self.at < len(self.tokens):
            raise NotRead(self.tokens[self.at].at, f"'{_written(self.tokens[self.at])}' closes nothing that was opened")
        return found

    # ------------------------------------------------------------------ tokens

    def _next(self) -> Token | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def _place(self) -> int:
        token = self._next()
        return token.at if token else self.tokens[-1].at if self.tokens else self.start

    def _is(self, *texts: str) -> bool:
        token = self._next()
        return token is not None and token.kind not in (LETTER, DIGITS) and token.text in texts and not (
            token.kind == COMMAND and token.text in "{}")

    # ------------------------------------------------------------------ rows

    def _items(self, until: str, in_scripts: bool = False) -> Row:
        """Nodes up to a closing sign, which stays. `until`: `}` of a group, a fence's opening, `]` of an option, or `end`."""
        self.depth += 1
        if self.depth > DEEPEST:
            raise NotRead(self._place(), f"nested deeper than {DEEPEST}")
        found: list[Node] = []
        bold, upright = self.bold, self.upright
        while (token := self._next()) is not None:
            if self._closes(token, until, in_scripts):
                break
            if token.kind == COMMAND and token.text == "over":
                self.at += 1
                found = [Fraction(tuple(found), self._items(until, in_scripts), token.at)]
                break
            node = self._node(in_scripts)
            if node is not None:
                found.append(self._scripted(node))
        merged = _merged(tuple(found)) if self.upright else tuple(found)
        self.bold, self.upright = bold, upright
        self.depth -= 1
        return merged

    def _closes(self, token: Token, until: str, in_scripts: bool) -> bool:
        if token.kind in (LETTER, DIGITS):
            return False
        if token.kind == COMMAND and token.text == "end":
            return True
        if token.kind != COMMAND and token.text == "}":
            return True
        if until == "end" and (token.text == "&" or token.text == "\\"):
            return True
        if in_scripts and token.text == (">" if token.kind != COMMAND else "gt"):
            return until == "<"
        return token.text in _CLOSING and not (token.kind != COMMAND and token.text in "{}")

    def _scripted(self, node: Node) -> Node:
        sub: list[Node] = []
        sup: list[Node] = []
        primes, at, lost = 0, node.at, None
        while (token := self._next()) is not None:
            if token.kind in (LETTER, DIGITS) or token.text not in ("_", "^", "'") or token.kind == COMMAND:
                break
            self.at += 1
            if token.text == "'":
                primes += 1
                continue
            script = self._argument(in_scripts=True)
            if not script:
                lost = lost or token
            if token.text == "^" and flat_primes(script):
                primes += flat_primes(script)
                continue
            held = sub if token.text == "_" else sup
            if held and script:
                held.append(Mark(",", script[0].at))
            held += script
        if not (sub or sup or primes):
            if lost is not None:
                raise NotRead(lost.at, f"'{lost.text}' with nothing in it: something is lost here")
            return node
        if isinstance(node, Scripted):
            return Scripted(node.base, _joined(node.sub, tuple(sub)), _joined(node.sup, tuple(sup)), node.primes + primes, at)
        return Scripted(node, tuple(sub), tuple(sup), primes, at)

    def _argument(self, in_scripts: bool = False) -> Row:
        """What one command or script takes: a group's inside, or one token."""
        if self._next() is None:
            raise NotRead(self._place(), "something is missing at the end")
        if self._is("{"):
            return self._group(in_scripts)
        bold = self.bold
        node = self._node(in_scripts, alone=True)
        self.bold = bold
        return () if node is None else (node,)

    def _group(self, in_scripts: bool = False) -> Row:
        opened = self._place()
        self.at += 1
        found = self._items("}", in_scripts)
        if not self._is("}"):
            raise NotRead(opened, "this brace is never closed" if self._next() is None else
                          f"in these braces '{_written(self.tokens[self.at])}' closes nothing that was opened")
        self.at += 1
        return found

    # ------------------------------------------------------------------ nodes

    def _node(self, in_scripts: bool, alone: bool = False) -> Node | None:
        """The next node; None for what is not printed."""
        token = self.tokens[self.at]
        if token.kind == COMMAND:
            return self._command(token, in_scripts)
        self.at += 1
        if token.kind == LETTER:
            return Letter(token.text, token.at, self.bold)
        if token.kind == DIGITS:
            text = token.text
            if alone and len(text) > 1:  # \\frac12 takes one digit; x_12 would, too, and nobody means it
                if in_scripts:
                    raise NotRead(token.at, f"'{text}' without braces", "write the script in braces")
                self.at -= 1
                self.tokens = [*self.tokens[: self.at], Token(DIGITS, text[1:], token.at + 1), *self.tokens[self.at + 1 :]]
                text = text[:1]
            return Digits(text, token.at)
        match token.text:
            case "{":
                self.at -= 1
                return Group(self._group(in_scripts), token.at)
            case "_" | "^" | "'":
                self.at -= 1
                return Letter("", token.at)  # scripts of nothing, as in {}^t
            case "(" | "[":
                return self._fenced(token.text, token.at, in_scripts)
            case "<" if in_scripts:
                return self._fenced("<", token.at, in_scripts)
            case "&" | "~" | "$":
                return None
        return Mark(token.text, token.at)

    def _fenced(self, opening: str, at: int, in_scripts: bool) -> Node:
        items = self._items(opening, in_scripts)
        token = self._next()
        if token is None or token.text == "end" or token.kind != COMMAND and token.text == "}":
            raise NotRead(at, f"this '{opening}' is never closed")
        closed = "<" if token.text in (">", "gt") else _CLOSING[token.text]
        if closed != opening and {closed, opening} - {"(", "["}:
            raise NotRead(token.at, f"'{_written(token)}' closes a '{opening}'")
        self.at += 1
        return Fenced(opening, items, at)

    def _command(self, token: Token, in_scripts: bool) -> Node | None:
        self.at += 1
        name, at = token.text, token.at
        if name in GREEK or name in _VARIANTS:
            return Letter(_VARIANTS.get(name, name), at, self.bold)
        if name in _FUNCTIONS:
            return Letter({"ln": "log", "sgn": "sign"}.get(name, name), at)
        if name in _SPACES:
            return Mark(_SPACES[name], at) if _SPACES[name] else None
        if name == "lt" and in_scripts:
            return self._fenced("<", at, in_scripts)
        if name in _OPENING:
            return self._fenced(_OPENING[name], at, in_scripts)
        if name in _MARKS:
            return Mark(_MARKS[name], at)
        if name in _WORD_FONTS:
            return self._word(at)
        if name in _BOLD_FONTS or name in _LETTER_FONTS and name != "cal":
            return self._font(name, at, in_scripts)
        if name in _SWITCHES:
            self.bold = self.bold or _SWITCHES[name]
            self.upright = self.upright or name in ("rm", "sf", "tt")
            return None
        if name in _ACCENTS:
            body = self._argument(in_scripts)
            if not body:
                raise NotRead(at, f"\\{name} over nothing")
            return Accent(_ACCENTS[name], body[0] if len(body) == 1 else Group(body, at), at)
        return self._structure(name, at, in_scripts)

    def _structure(self, name: str, at: int, in_scripts: bool) -> Node | None:
        """Commands with arguments that are no letters."""
        if name in _FRACTIONS:
            top = self._argument()
            return Fraction(top, self._argument(), at)
        if name in _DERIVATIVES:
            sign: Node = Mark("partial", at) if _DERIVATIVES[name] == "partial" else Letter("d", at)
            top = self._argument()
            return Fraction((sign, *top), (sign, *self._argument()), at)
        if name == "sqrt":
            if self._is("["):
                raise NotRead(at, "a root other than the square root")
            return Root(self._argument(), at)
        if name == "begin":
            return self._environment(at)
        if name in _DROPPED:
            if name in ("left", "right", "middle") or name.startswith(("big", "Big")):
                self._bare_delimiter(name)
            return None
        if name in _DROPPED_WITH:
            self._argument()
            return None
        if name in _KEPT:
            return Group(self._argument(in_scripts), at)
        if name in ("textcolor", "colorbox"):
            self._argument()
            return Group(self._argument(in_scripts), at)
        if name in ("underbrace", "overbrace"):
            body = Group(self._argument(in_scripts), at)
            while self._is("_", "^"):
                self.at += 1
                self._argument()
            return body
        if name in ("overset", "underset", "stackrel", "underbracket"):
            self._argument()
            return Group(self._argument(in_scripts), at)
        if name in ("%", "&", "#", "$", "_"):
            return Mark("_" if name == "_" else name, at)
        if name == "|":
            return Mark("||", at)
        raise NotRead(at, f"\\{name} is not known", "" if len(name) < 2 else
                      f"if it is a macro of yours, its \\newcommand{{\\{name}}} belongs into the same file")

    def _bare_delimiter(self, name: str) -> None:
        """`\\left.`, and the bars of `\\left|`, which would open or close nothing; other brackets stay."""
        token = self._next()
        if token is not None and token.kind not in (LETTER, DIGITS, COMMAND) and token.text == ".":
            self.at += 1

    def _font(self, name: str, at: int, in_scripts: bool) -> Node | None:
        bold, self.bold = self.bold, self.bold or name in _BOLD_FONTS
        body = self._argument(in_scripts)
        self.bold = bold
        if len(body) == 1:
            return body[0]
        return Group(_merged(body), at)

    def _word(self, at: int) -> Node | None:
        """Letters that are set upright are one word; with spaces between them, they are text."""
        first = self._next()
        if first is None:
            raise NotRead(at, "something is missing at the end")
        if not self._is("{"):
            body = self._argument()
            return body[0] if body else None
        held = self.tokens[self.at + 1 :]
        level, texts = 1, []
        for token in held:
            level += {"{": 1, "}": -1}.get(token.text, 0) if token.kind not in (LETTER, DIGITS, COMMAND) else 0
            if not level:
                break
            texts.append(token)
        words = _words(texts)
        if words is not None:
            self.at += len(texts) + 2
            if not words:
                return None
            if words == "T":
                return Mark("top", at)
            return Letter(words, at, self.bold) if " " not in words else Words(words, at)
        body = self._group(in_scripts=True)
        return body[0] if len(body) == 1 else Group(_merged(body), at)

    # ------------------------------------------------------------------ matrices

    def _environment(self, at: int) -> Node:
        name = self._name()
        if name in ALIGNED:
            raise NotRead(at, f"\\begin{{{name}}} within a line")
        if name not in GRIDS:
            raise NotRead(at, f"\\begin{{{name}}} is not known in a formula")
        if name == "array" and self._is("["):
            self._items("[")
        if name == "array" and self._is("{"):
            self._group()
        rows: list[list[Row]] = [[]]
        while True:
            rows[-1].append(self._items("end"))
            token = self._next()
            if token is None:
                raise NotRead(at, f"\\begin{{{name}}} has no \\end{{{name}}}")
            self.at += 1
            if token.text == "\\":
                rows.append([])
            elif token.text == "end":
                self._name()
                break
            elif token.text != "&":
                raise NotRead(token.at, f"'{_written(token)}' closes nothing that was opened")
        kept = tuple(tuple(row) for row in rows if any(row))
        return Grid(name, kept, at)

    def _name(self) -> str:
        """The name of an environment, in braces."""
        text = ""
        if not self._is("{"):
            raise NotRead(self._place(), "\\begin and \\end need a name in braces")
        self.at += 1
        while (token := self._next()) is not None and not self._is("}"):
            text += token.text
            self.at += 1
            if len(text) > 30:
                break
        self.at += 1
        return text.rstrip("*")


def _words(tokens: Sequence[Token]) -> str | None:
    """The text of tokens that are letters, digits and signs of a text alone, with spaces where the file has them."""
    text, end = "", None
    for token in tokens:
        if token.kind == COMMAND and token.text in (" ", "quad", ",", ";", "_"):
            text += "_" if token.text == "_" else " "
        elif token.kind == DIGITS and text[-1:].isalpha() and token.at == end:  # log1p
            text += token.text
        elif token.kind == LETTER or token.kind != COMMAND and token.text in ",.:;":
            text += " " * bool(text and end is not None and token.at > end) + token.text
        else:
            return None
        end = token.at + len(token.text) + (token.kind == COMMAND)
    return " ".join(text.split())


def _merged(row: Row) -> Row:
    """Letters beside each other as one word."""
    found: list[Node] = []
    for node in row:
        last = found[-1] if found else None
        if isinstance(node, Letter) and isinstance(last, Letter) and len(node.text) == 1 and not node.bold:
            found[-1] = Letter(last.text + node.text, last.at, last.bold)
        else:
            found.append(node)
    return tuple(found)


def _joined(first: Row, second: Row) -> Row:
    return (*first, Mark(",", second[0].at), *second) if first and second else first or second


def flat_primes(row: Row) -> int:
    """How many primes a superscript consists of; 0 where it is something else."""
    return len(row) if row and all(isinstance(node, Mark) and node.text == "prime" for node in row) else 0


def _written(token: Token) -> str:
    return f"\\{token.text}" if token.kind == COMMAND else token.text
