"""HTTP service and operator console."""
