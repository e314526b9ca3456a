"""Learned models of demand, price response, traffic and customers, and the scores that judge them."""
