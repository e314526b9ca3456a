"""How demand responds to the price when prices are not random and shelves run empty."""
