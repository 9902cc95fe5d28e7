"""From the tidy table to tables and figures."""
