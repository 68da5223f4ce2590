"""派单台: pages rendered on the server, small ES modules, no build step and no foreign origin."""
