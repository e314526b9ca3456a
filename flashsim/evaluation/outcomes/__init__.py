"""What can happen in a sale, beside the means: losses, empty shelves, visits lost and why, the course of one sale."""
