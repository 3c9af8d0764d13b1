"""The PyTorch output: a layer and a cell whose operators have the derived backward pass.

May import: what outputs may, and outputs/numpy, whose lines and expressions look the same. Start reading at module.py;
forward.py and backward.py print the two passes, and templates/torch/ holds what is the same for every cell.
"""
