"""What turns predictions for pairs of images into one reconstruction: scene graphs, matching, alignment."""
