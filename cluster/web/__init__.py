"""The page of a cluster, `cluster web`: a JSON API over ``cluster.client``, and HTML pages that show what it gives.

``routes.py`` says how a page or an action is declared; each subject has a module with its ``ROUTES``, a template and,
where it moves, a module in ``static/``. ``app.py`` puts them together, ``access.py`` says who may.
"""
