"""How many visits come from minute to minute, and how long servers take to answer them."""
