"""flashsim: plan a timed sale before it happens."""
