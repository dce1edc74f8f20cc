"""How good the results are, on judged collections."""
