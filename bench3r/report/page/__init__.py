"""The page of a run: tables that sort and filter, points in 3D, quality against cost.

``write.py`` puts it together; ``base.js``, ``tables.js``, ``pareto.js``, ``viewer.js`` run in it.
"""
