"""How demand answers to the price where prices are not random and shelves run empty."""
