"""LaTeX, Markdown and notebooks that people wrote: their equations, as claims of an audit or as a spec.

    document.py   a file -> its formulas, each with its place, and what its first comment says
    tokens.py     a formula -> tokens; macros are expanded, within limits
    tree.py       the records of a formula: letters with scripts, fractions, brackets, matrices
    parser.py     tokens -> tree
    lines.py      a formula -> equations: lines, chains of `=`, several definitions in a line
    symbols.py    a letter with scripts -> its name, its step, its power
    names.py      a name -> a value of the cell: the spec's names, notations, `--names`
    algebra.py    terms with shapes: which product two of them have
    choices.py    what can be read in several ways
    reader.py     tree -> a term: sums, products, brackets, functions
    values.py     what a symbol is: a value of the cell at a step
    meanings.py   what a derivation has besides: gradients, derivatives, sums over time
    reading.py    all equations of a text -> claims, in one notation
    audit.py      a file -> claims, and their judgements
    draft.py      a file -> a spec

May import: what `auditing` may, and `auditing`. Start reading at audit.py.
"""
