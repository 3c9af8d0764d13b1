"""A cell's graph and the multivariate chain rule along every fork.

May import: what stands above, language, spec. Start reading at chain.py; graph.py holds what it differentiates.
"""
