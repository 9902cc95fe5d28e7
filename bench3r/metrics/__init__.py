"""Pure metric functions of numpy arrays; nothing here keeps state or knows the rest of Bench3R."""
