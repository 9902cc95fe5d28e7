"""Processes that do a stage's work: workers, supervisors, the job server, claims on GPUs."""
