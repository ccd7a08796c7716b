"""Answers in real time: how many a second, beside others; what is lost when a replica dies, when too much is asked,
when another version is pinned.

| name | what |
| --- | --- |
| `serving` | requests a second and their times, in turns with others |
| `serving-faults` | a killed replica, too many clients, a pin, each at full load |
"""
