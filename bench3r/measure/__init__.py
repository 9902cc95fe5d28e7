"""What a forward pass costs: FLOPs, time, memory."""
