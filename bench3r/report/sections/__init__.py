"""The sections of a report: one file is one section, as bench3r/report/section.py defines it."""
