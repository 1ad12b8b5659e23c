"""Joules, with the method that found them."""
