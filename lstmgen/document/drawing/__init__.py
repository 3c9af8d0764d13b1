"""The graph of one step as geometry: nodes and wires, and their places.

May import: what document may. Start reading at drawing.py, then placement.py.
"""
