"""The page of a run: the answer first, tables that sort and filter, points in 3D, quality and cost.

``write.py`` puts it together from its templates, styles and scripts; it needs no library.
"""
