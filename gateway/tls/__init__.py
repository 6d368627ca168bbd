"""TLS: certificates, and the contexts of either side. Knows nothing of FTP."""
