"""``auscult demo``: the main job with a simulated machine and an embedded broker."""
