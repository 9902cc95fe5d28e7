"""What runs a stage's work in processes: workers, their supervisors, the job server, claims on GPUs."""
