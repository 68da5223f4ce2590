"""Routes under ``/v1`` and for the machinery; one file per resource."""
