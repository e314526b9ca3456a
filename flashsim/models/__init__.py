"""Learned models of demand, and how they are judged."""
