"""Who buys: segments, behavior, repeat purchase and the value of a buyer."""
