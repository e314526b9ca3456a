"""Policies as files: bundles that run without torch, and the guard-rails that they keep."""
