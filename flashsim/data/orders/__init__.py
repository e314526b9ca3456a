"""The table that people have: order lines, summed to units and unit prices by product and day."""
