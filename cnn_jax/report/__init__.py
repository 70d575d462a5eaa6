"""The kit for everything that people read: formatted numbers, statistics, tables, figures, pages, the console.

It receives arrays and records, and knows nothing of runs and models.
"""
