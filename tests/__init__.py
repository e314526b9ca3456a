"""Tests mirror the packages; a package themselves, or another distribution that ships `tests` would hide them."""
