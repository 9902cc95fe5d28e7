"""From files on disk to the views of a scene."""
