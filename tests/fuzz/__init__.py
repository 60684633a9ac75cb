"""Generated hostile inputs: files, flags, URIs, environments, and the laws that hold for every one of them."""
