"""How many units are bought, by segment, product, depth and day."""
