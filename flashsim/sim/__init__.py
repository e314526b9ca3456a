"""The simulated sale: pure numba functions over tiles of sales; the parts meet only in sale.py."""
