"""Tables from outside: schemas, sources, and the rows that are dropped."""
