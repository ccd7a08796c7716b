"""Ensembles of sub-models: how good they are beside a model of the whole table, and how fast they are fitted.

| name | what |
| --- | --- |
| `ensembles` | accuracy by what parts have of the rows; whether the combiner that is chosen is the best one |
| `ensembles-fit` | seconds of fitting beside one process, Dask-ML's voting and Spark MLlib's forest |
"""
