"""The ASGI application: all routes, the documentation and the dashboard."""
