"""DUSt3R's and MASt3R's networks, which see two images at a time."""
