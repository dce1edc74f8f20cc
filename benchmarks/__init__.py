"""Measurements: slower than tests, run by hand, results kept beside them."""
