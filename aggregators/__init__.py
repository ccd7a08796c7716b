"""Aggregators join the parts of a run; one module for each way to join.

An aggregator is a plain function ``(parts: Iterable[T]) -> T`` that gives the same for parts in any
order and grouping, since nodes fold some parts while others are still being made. A part is made of
what MessagePack carries: None, bool, int, float, str, bytes, lists, and dicts with such keys.
"""
