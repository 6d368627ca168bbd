"""Measures the gateway beside what people would otherwise put in front of FTP: ``python -m benchmarks``."""
