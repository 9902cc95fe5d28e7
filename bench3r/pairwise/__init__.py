"""From predictions for pairs of images to one reconstruction: graphs, matching, alignment."""
