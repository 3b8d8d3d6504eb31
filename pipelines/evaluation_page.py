"""Page."""
def render(body):
    return "<html></html>"
