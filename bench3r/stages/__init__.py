"""The stages of a run, one module each; the command line and the workflow call them."""
