"""Questions on the demo workspace with known answers, put to any configured model."""
