"""The benchmark, ``python -m benchmarks``: it measures the gateway beside other programs that people put in front of
FTP."""
