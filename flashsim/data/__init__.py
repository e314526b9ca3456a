"""Tables from outside: their schemas, their sources, and the rows that are dropped."""
