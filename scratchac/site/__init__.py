"""The course as pages and as notebooks."""
