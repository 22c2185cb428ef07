"""Pages and notebooks made of the chapters, MATH.md, the source and the manual."""
