"""Fit, sample, score and evaluate from Python: data frames, tables and lines"""
