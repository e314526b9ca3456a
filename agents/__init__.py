"""Policies and how they are made: baselines, learners, their export as bundles. Run from a checkout; in no wheel."""
