"""Gymnasium, vector and Stable-Baselines3 views of one engine."""
