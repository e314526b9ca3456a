"""From tables and learned models to a World, with the record of where each number came from."""
