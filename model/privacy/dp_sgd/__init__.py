"""Clip and sum per-record gradients without storing them."""
