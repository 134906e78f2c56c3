"""Errors of every measure of a domain against shapes whose true values are known."""
