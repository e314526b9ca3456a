"""Forecasts of daily and weekly sales, their rivals, and the scores that compare them."""
