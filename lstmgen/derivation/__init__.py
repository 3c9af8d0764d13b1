"""The graph of a cell, and the multivariate chain rule along every fork.

May import: errors, resources, files, printed, language, spec. Start reading at chain.py; build.py makes what it
differentiates.
"""
