"""The sections of a report: one file is one section (bench3r/report/section.py says what that is)."""
