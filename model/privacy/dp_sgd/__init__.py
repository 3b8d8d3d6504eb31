"""Clip and sum per-record gradients without materializing them."""
