"""What could have been earned at most: proven bounds, best plans in hindsight, exact values of reference sales."""
