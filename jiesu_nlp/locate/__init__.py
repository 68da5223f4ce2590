"""Where it happened: gazetteer, resolution, kind of place."""
