"""HTTP: health for probes and metrics for Prometheus."""
